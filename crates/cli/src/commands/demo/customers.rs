//! A realistic customers file, and what each job has to make of it.
//!
//! The expected results are worked out here, from the values, and not by the
//! service's code: a mistake there can not hide itself. The numbers are made up
//! and the same at every run.

/// The file and everything that is known about it.
pub(super) struct Customers {
    /// The plaintext: `id,name,email,pan,city,balance`.
    pub(super) csv: Vec<u8>,
    /// What `mask-customers` has to give.
    pub(super) masked: Vec<u8>,
    /// What `export-sealed` has to give.
    pub(super) exported: Vec<u8>,
    /// Personal values of some rows, spread over the file: full names, addresses
    /// and card numbers that must show up nowhere at the parent.
    pub(super) canaries: Vec<String>,
    /// One row for people to look at: as it was, and masked.
    pub(super) sample: (String, String),
}

impl Customers {
    /// Makes `rows` customers.
    pub(super) fn make(rows: u32) -> Self {
        let mut made = Self {
            csv: b"id,name,email,pan,city,balance\n".to_vec(),
            masked: b"id,name,email,pan,city,balance\n".to_vec(),
            exported: b"id,name,email,city\n".to_vec(),
            canaries: Vec::new(),
            sample: (String::new(), String::new()),
        };
        let mut random = SplitMix(0x5eed);
        let every = (rows / CANARY_ROWS).max(1);
        for id in 1..=rows {
            made.add(&Customer::random(id, &mut random), id % every == 0);
        }
        made
    }

    fn add(&mut self, customer: &Customer, is_canary: bool) {
        let Customer { id, given, family, email, pan, city, balance } = customer;
        let plain = format!("{id},{given} {family},{email},{pan},{city},{balance}\n");
        let initial = |name: &str| name.chars().next().unwrap_or('?');
        let (first, last) = (initial(given), initial(family));
        let digits = pan.get(12..).unwrap_or_default();
        let masked = format!("{id},{first}.{last}.,***,****{digits},{city},{balance}\n");
        let exported = format!("{id},{given} {family},{email},{city}\n");
        self.csv.extend_from_slice(plain.as_bytes());
        self.masked.extend_from_slice(masked.as_bytes());
        self.exported.extend_from_slice(exported.as_bytes());
        if is_canary {
            self.canaries.extend([format!("{given} {family}"), email.clone(), pan.clone()]);
            self.sample = (plain.trim_end().to_owned(), masked.trim_end().to_owned());
        }
    }
}

struct Customer {
    id: u32,
    given: &'static str,
    family: &'static str,
    email: String,
    pan: String,
    city: &'static str,
    balance: String,
}

impl Customer {
    fn random(id: u32, random: &mut SplitMix) -> Self {
        let (given, family) = (random.pick(&GIVEN), random.pick(&FAMILY));
        let account = random.next() % 1_000_000_000;
        let body = format!("400000{account:09}");
        let check = luhn_digit(&body);
        let cents = random.next() % 2_000_000;
        Self {
            id,
            given,
            family,
            email: format!("{}.{}{id}@example.org", given.to_lowercase(), family.to_lowercase()),
            pan: format!("{body}{check}"),
            city: random.pick(&CITY),
            balance: format!("{}.{:02}", cents / 100, cents % 100),
        }
    }
}

/// The check digit of a card number (ISO/IEC 7812-1, annex B).
fn luhn_digit(body: &str) -> u32 {
    let sum: u32 = body
        .chars()
        .rev()
        .enumerate()
        .map(|(place, c)| {
            let digit = c.to_digit(10).unwrap_or_default();
            if place % 2 == 1 { digit } else { digit * 2 / 10 + digit * 2 % 10 }
        })
        .sum();
    (10 - sum % 10) % 10
}

/// SplitMix64 (Steele, Lea, Flood 2014): made-up values, not secrets.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn pick(&mut self, list: &[&'static str]) -> &'static str {
        let len = u64::try_from(list.len()).unwrap_or(1);
        let at = usize::try_from(self.next() % len).unwrap_or_default();
        list.get(at).copied().unwrap_or_default()
    }
}

/// Rows whose personal values are looked for at the parent, about.
const CANARY_ROWS: u32 = 100;

const GIVEN: [&str; 24] = [
    "Aisha",
    "Anna",
    "Bjorn",
    "Carlos",
    "Chiara",
    "Daniel",
    "Elena",
    "Emeka",
    "Fatima",
    "Greta",
    "Hiroshi",
    "Ines",
    "Jonas",
    "Katarzyna",
    "Liam",
    "Marta",
    "Mehmet",
    "Niamh",
    "Olga",
    "Pedro",
    "Rosa",
    "Sanjay",
    "Thandi",
    "Yusuf",
];
const FAMILY: [&str; 24] = [
    "Abdullah",
    "Almeida",
    "Bergstrom",
    "Costa",
    "Dubois",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Haddad",
    "Ivanova",
    "Jansen",
    "Kowalski",
    "Laurent",
    "Murphy",
    "Nakamura",
    "Okafor",
    "Papadakis",
    "Quispe",
    "Rossi",
    "Sharma",
    "Tanaka",
    "Ulvaeus",
    "Virtanen",
    "Zielinski",
];
const CITY: [&str; 12] = [
    "Athens", "Berlin", "Cork", "Dublin", "Ghent", "Kyoto", "Lagos", "Lisbon", "Milan", "Oslo",
    "Tampere", "Warsaw",
];
