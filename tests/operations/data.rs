//! Records to work on: made from a seed, and the same at every run.
//!
//! A cell depends on the seed, its row and its column only, so a test makes the
//! columns it is about and no others.

use strongroom::manifest::fields::Shape;

/// What a table can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Id,
    Name,
    Email,
    Pan,
    Code,
    Handle,
    Hex,
    Born,
    Balance,
    Age,
    City,
    Plan,
    Note,
}

/// A value, which only JSON tells from its text.
pub enum Cell {
    Null,
    Text(String),
    Bare(String),
}

/// So many records of these columns.
#[derive(Clone, Copy)]
pub struct Table {
    pub seed: u64,
    pub rows: u64,
    pub columns: &'static [Column],
}

impl Table {
    /// Its plaintext in pieces of any length, which end anywhere.
    pub fn pieces(self, shape: Shape) -> impl Iterator<Item = Vec<u8>> {
        let mut rng = Rng(self.seed ^ 0x5eed);
        let mut records = self.records(shape);
        let mut rest = Vec::new();
        std::iter::from_fn(move || {
            let len = 1 + rng.below(128 << 10) as usize;
            while rest.len() < len {
                let Some(record) = records.next() else { break };
                rest.extend_from_slice(&record);
            }
            let behind = rest.split_off(len.min(rest.len()));
            let piece = std::mem::replace(&mut rest, behind);
            (!piece.is_empty()).then_some(piece)
        })
    }

    /// Its plaintext record by record, with whatever stands before, between and
    /// behind them.
    pub fn records(self, shape: Shape) -> Box<dyn Iterator<Item = Vec<u8>>> {
        let rows = 0..self.rows;
        match shape {
            Shape::Csv => {
                Box::new(std::iter::once(self.header()).chain(rows.map(move |row| self.csv(row))))
            }
            Shape::Ndjson => Box::new(rows.map(move |row| {
                let mut line = self.json(row);
                line.push(b'\n');
                line
            })),
            Shape::Json => {
                let element = move |row| {
                    let mut element = self.json(row);
                    element.extend_from_slice(if row + 1 == self.rows { b"\n]" } else { b"\n, " });
                    element
                };
                let start = if self.rows == 0 { b" []".to_vec() } else { b" [".to_vec() };
                Box::new(std::iter::once(start).chain(rows.map(element)))
            }
            Shape::Bytes => panic!("records of bytes"),
        }
    }

    pub fn header(&self) -> Vec<u8> {
        let names: Vec<String> =
            self.columns.iter().map(|c| format!("{c:?}").to_lowercase()).collect();
        (names.join(",") + "\n").into_bytes()
    }

    /// A row; its fields are quoted where they need it, and at times elsewhere.
    pub fn csv(&self, row: u64) -> Vec<u8> {
        let mut out = String::new();
        let mut style = self.rng(row, 99);
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            let text = match self.cell(*column, row) {
                Cell::Null => String::new(),
                Cell::Text(text) | Cell::Bare(text) => text,
            };
            if text.contains(['"', ',', '\n', '\r']) || style.one_in(9) || self.columns.len() == 1 {
                out.push('"');
                out.push_str(&text.replace('"', "\"\""));
                out.push('"');
            } else {
                out.push_str(&text);
            }
        }
        out.push_str(if style.one_in(8) { "\r\n" } else { "\n" });
        out.into_bytes()
    }

    /// A document: e-mail and card numbers lie deeper than the rest.
    pub fn json(&self, row: u64) -> Vec<u8> {
        let mut style = self.rng(row, 98);
        let mut out = String::from(if style.one_in(7) { "{ " } else { "{" });
        let mut first = true;
        for column in self.columns {
            // At times not there at all; `null` is another matter.
            if style.one_in(60) && *column != Column::Id {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push_str(if style.one_in(5) { ", " } else { "," });
            }
            let cell = self.cell(*column, row);
            match column {
                Column::Email => {
                    if style.one_in(50) {
                        out.push_str(r#""contact":null"#);
                    } else {
                        out.push_str(r#""contact":{"email":"#);
                        write_json(&cell, &mut style, &mut out);
                        out.push_str(r#","since":2019}"#);
                    }
                }
                Column::Pan => {
                    out.push_str(r#""cards":["#);
                    for card in 0..style.below(3) {
                        out.push_str(if card == 0 { r#"{"pan":"# } else { r#", {"pan":"# });
                        write_json(&cell, &mut style, &mut out);
                        out.push('}');
                    }
                    out.push(']');
                }
                _ => {
                    let name = format!("{column:?}").to_lowercase();
                    write_string(&name, &mut style, &mut out);
                    out.push_str(if style.one_in(6) { " : " } else { ":" });
                    write_json(&cell, &mut style, &mut out);
                }
            }
        }
        out.push_str(if style.one_in(7) { " }" } else { "}" });
        out.into_bytes()
    }

    pub fn cell(&self, column: Column, row: u64) -> Cell {
        let rng = &mut self.rng(row, column as u64);
        // A date or number that is empty is none: of these, CSV has all.
        let nullable = !matches!(column, Column::Id | Column::Born | Column::Age);
        if nullable && rng.one_in(50) {
            return if rng.one_in(2) { Cell::Null } else { Cell::Text(String::new()) };
        }
        match column {
            Column::Id => Cell::Bare(row.to_string()),
            Column::Name if rng.one_in(100) => {
                Cell::Bare((*rng.pick(&["true", "false", "12345678", "-0.5e3"])).to_owned())
            }
            Column::Name => Cell::Text(name(rng)),
            Column::Email => Cell::Text(email(rng)),
            Column::Pan => Cell::Text(pan(rng)),
            Column::Code => Cell::Text(letters(rng, "abcdefghijklmnopqrstuvwxyz", 5, 50)),
            Column::Handle => Cell::Text(letters(rng, ALPHANUMERIC, 4, 40)),
            Column::Hex => Cell::Text(letters(rng, "0123456789abcdef", 5, 60)),
            Column::Born => Cell::Text(born(rng)),
            Column::Balance => number(balance(rng), rng),
            Column::Age => number(
                (*rng.pick(&[
                    "0", "7", "31", "31.9", "64.0", "99", "100", "-1", "-0.5", "-10", "-10.01",
                ]))
                .to_owned(),
                rng,
            ),
            Column::City => Cell::Text(city(rng)),
            Column::Plan if rng.one_in(10) => Cell::Bare("1".to_owned()),
            Column::Plan => {
                Cell::Text((*rng.pick(&["free", "pro", "team", "1", "1.0"])).to_owned())
            }
            Column::Note => Cell::Text((*rng.pick(NOTES)).to_owned()),
        }
    }

    const fn rng(&self, row: u64, salt: u64) -> Rng {
        let mut rng = Rng(self
            .seed
            .wrapping_mul(0x1f35)
            .wrapping_add(row)
            .wrapping_mul(101)
            .wrapping_add(salt));
        // Neighbours are not alike after the first number.
        rng.next();
        rng
    }
}

/// SplitMix64, by Steele, Lea and Flood.
pub struct Rng(pub u64);

impl Rng {
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub const fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub const fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    pub const fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

fn name(rng: &mut Rng) -> String {
    let first = rng.pick(&[
        "Ada",
        "grace",
        "Zoë",
        "İpek",
        "Σίσυφος",
        "李",
        "O'Brien,",
        "\"Bob\"",
        "Ærøskøbing",
        "😀",
        "e\u{301}va",
        "ß",
    ]);
    let last = rng.pick(&[
        "Lovelace",
        "HOPPER",
        "Ångström",
        "小龍",
        "van  der\tBerg",
        "ΟΔΥΣΣΕΥΣ",
        "K",
        "line\nbreak",
    ]);
    match rng.below(5) {
        0 => format!("  {first} \u{a0} {last} "),
        1 => (*first).to_owned(),
        2 => format!("{first} {last} {}", rng.below(100_000)),
        _ => format!("{first} {last}"),
    }
}

fn email(rng: &mut Rng) -> String {
    let domain =
        rng.pick(&["example.com", "bücher.example", "EXAMPLE.org", "a-b.example", "例え.example"]);
    let local = rng.below(1_500_000);
    match rng.below(20) {
        0 => "no address".to_owned(),
        1 => format!("@{domain}"),
        2 => format!("u{local}@"),
        3 => format!("u{local}@{domain}@evil"),
        4 => format!("\"u,{local}\"@{domain} (work)"),
        5 => format!(" U{local}@{domain}\t"),
        _ => format!("u{local}@{domain}"),
    }
}

fn pan(rng: &mut Rng) -> String {
    let digits = rng.next() % 9_000_000_000_000_000 + 1_000_000_000_000_000;
    let digits = digits.to_string();
    let groups: Vec<&str> = (0..4).map(|group| &digits[group * 4..group * 4 + 4]).collect();
    match rng.below(8) {
        0 => groups.join(" "),
        1 => groups.join("-"),
        2 => digits[..13].to_owned(),
        3 => digits[..6 + rng.below(7) as usize].to_owned(),
        4 => digits.clone() + &digits + &digits + &digits,
        _ => digits,
    }
}

fn letters(rng: &mut Rng, alphabet: &str, least: u64, most: u64) -> String {
    let alphabet = alphabet.as_bytes();
    let most = if rng.one_in(10) { most } else { most.min(least + 12) };
    let len = least + rng.below(most - least + 1);
    let mut out = String::new();
    for at in 0..len {
        if at > 0 && rng.one_in(40) {
            out.push(*rng.pick(&['-', ' ', '.', '/']));
        }
        out.push(char::from(*rng.pick(alphabet)));
    }
    out
}

fn born(rng: &mut Rng) -> String {
    let (year, month, day) = (1900 + rng.below(130), 1 + rng.below(12), 1 + rng.below(28));
    match rng.below(4) {
        0 => format!("{year}{month:02}{day:02}"),
        1 => format!("{year}-{month:02}-{day:02}T23:59:60Z"),
        _ => format!("{year}-{month:02}-{day:02}"),
    }
}

/// Decimals of every form; halves of a billionth, which are rounded to even.
fn balance(rng: &mut Rng) -> String {
    let whole = rng.below(100_000);
    let cents = rng.below(100);
    match rng.below(24) {
        0 => format!("-{whole}"),
        1 => format!("+{whole}.{cents:02}"),
        2 => format!(".{cents:02}"),
        3 => format!("{whole}."),
        4 => format!("{whole}.{cents:02}e-{}", rng.below(12)),
        5 => format!("-{}.{cents:02}E+{}", whole % 10, rng.below(9)),
        6 => format!("0.{:09}5", rng.below(1_000_000_000)),
        7 => format!("-{whole}.{:09}50001", rng.below(1_000_000_000)),
        8 => format!("00{whole}.{cents:02}000"),
        9 => format!("{}.{:09}", 999_999_999_999_999_900 + rng.below(99), rng.below(1_000_000_000)),
        _ => format!("{whole}.{cents:02}"),
    }
}

fn city(rng: &mut Rng) -> String {
    if rng.one_in(20_000) {
        return format!("Hamlet {}", rng.below(1000));
    }
    (*rng.pick(&[
        "London",
        "Paris",
        "København",
        "東京",
        "Wilmslow, Cheshire",
        "\"Big\" Apple",
        "São Paulo",
        "a",
        "ab",
        "a b",
    ]))
    .to_owned()
}

/// A number where JSON has such a one, a text at times and elsewhere.
fn number(text: String, rng: &mut Rng) -> Cell {
    let digits = text.trim_start_matches('-');
    let odd = digits.starts_with(['+', '.'])
        || digits.contains(".e")
        || digits.ends_with('.')
        || digits.starts_with("00");
    if odd || rng.one_in(10) { Cell::Text(text) } else { Cell::Bare(text) }
}

fn write_json(cell: &Cell, style: &mut Rng, out: &mut String) {
    match cell {
        Cell::Null => out.push_str("null"),
        Cell::Text(text) => write_string(text, style, out),
        Cell::Bare(text) => out.push_str(text),
    }
}

/// A string, escaped where it has to be and at times where it need not be.
fn write_string(text: &str, style: &mut Rng, out: &mut String) {
    let all = style.one_in(30);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '/' if all => out.push_str("\\/"),
            c if all || c < ' ' => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04X}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

const ALPHANUMERIC: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

const NOTES: &[&str] = &[
    "nothing to say",
    "he said \"no\", twice",
    "two\nlines",
    "tab\tand \\ backslash",
    "{\"looks\":[\"like\",\"JSON\"]}",
    "пример 例 🎈",
    "a,b,c",
];
