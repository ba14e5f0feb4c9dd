//! Masked records: what each rule leaves, what is refused and where, that the
//! way the bytes arrive does not matter, and agreement with plain programs.

use super::*;
use crate::manifest::fields::{BadRecords, FieldPath, Pointer, Shape, UnknownFields};
use crate::shape::{CsvError, JsonError, MissingFields, RecordProblem};
use proptest::prelude::*;

/// A mask of columns, or of places in JSON.
struct Plan {
    shape: Shape,
    rules: Vec<(&'static str, MaskRule)>,
    unknown: UnknownFields,
    bad_records: BadRecords,
    max_record: usize,
}

impl Plan {
    fn new(shape: Shape, rules: &[(&'static str, MaskRule)]) -> Self {
        Self {
            shape,
            rules: rules.to_vec(),
            unknown: UnknownFields::Drop,
            bad_records: BadRecords::Refuse,
            max_record: 200,
        }
    }

    fn keeping(mut self) -> Self {
        self.unknown = UnknownFields::Keep;
        self
    }

    fn dropping_bad(mut self) -> Self {
        self.bad_records = BadRecords::Drop;
        self
    }

    fn up_to(mut self, max_record: usize) -> Self {
        self.max_record = max_record;
        self
    }

    fn fields(&self) -> Fields {
        let path = |name: &str| match self.shape {
            Shape::Csv => FieldPath::Column(name.to_owned()),
            _ => FieldPath::Pointer(Pointer::parse(name).unwrap()),
        };
        let layout = Layout {
            shape: self.shape,
            fields: self.rules.iter().map(|(name, _)| path(name)).collect(),
            unknown: self.unknown,
            missing: match self.unknown {
                UnknownFields::Drop => MissingFields::Allow,
                UnknownFields::Keep => MissingFields::Refuse,
            },
            bad_records: self.bad_records,
            max_record: self.max_record,
        };
        let rules = self.rules.iter().map(|(_, rule)| Rule::Mask(rule.clone())).collect();
        Fields::new(layout, rules)
    }

    /// Masks `input` handed over in pieces cut at `cuts`.
    fn run(&self, input: &[u8], cuts: &[usize]) -> Result<(String, Counts), RecordError> {
        let mut fields = self.fields();
        let mut bounds: Vec<usize> = cuts.iter().map(|c| c % (input.len() + 1)).collect();
        bounds.push(input.len());
        bounds.sort_unstable();
        let (mut pending, mut out, mut at) = (SecretBuf::new(), SecretBuf::new(), 0);
        for bound in bounds {
            pending.extend_from_slice(&input[at..bound]);
            at = bound;
            step(&mut fields, &mut pending, false, &mut out)?;
        }
        step(&mut fields, &mut pending, true, &mut out)?;
        let counts = fields.counts();
        assert!(pending.is_empty(), "something was left over");
        Ok((String::from_utf8_lossy(out.expose()).into_owned(), counts))
    }

    fn text(&self, input: &str) -> String {
        self.run(input.as_bytes(), &[]).unwrap().0
    }

    fn error(&self, input: &str) -> RecordError {
        self.run(input.as_bytes(), &[]).unwrap_err()
    }
}

fn counts(records: u64, dropped: u64) -> Counts {
    Counts { records, dropped }
}

fn error(record: u64, problem: impl Into<RecordProblem>) -> RecordError {
    RecordError { record, problem: problem.into() }
}

fn bad_field(record: u64, field: &str, problem: FieldError) -> RecordError {
    error(record, RecordProblem::Field { field: field.to_owned(), problem })
}

fn missing(field: &str) -> JsonError {
    JsonError::MissingField(field.to_owned())
}

mod csv_files {
    use super::*;

    fn customers() -> Plan {
        Plan::new(
            Shape::Csv,
            &[
                ("pan", MaskRule::Last4),
                ("email", MaskRule::Redact),
                ("name", MaskRule::Initials),
                ("city", MaskRule::Keep),
                ("ssn", MaskRule::Drop),
            ],
        )
    }

    const HEADER: &str = "name,pan,email,city,ssn,note\n";

    #[test]
    fn each_rule_leaves_what_it_says_and_unknown_columns_are_dropped() {
        let input = format!(
            "{HEADER}Ada Lovelace,4111111111111111,ada@x.org,\"Paris, 5e\",123,secret\n\
             ,1234567,,,,\nÉmile  Zola,éééé5678,,\"say \"\"hi\"\"\",9,\n"
        );
        let want = "name,pan,email,city\nA.L.,****1111,***,\"Paris, 5e\"\n,****,***,\n\
                    É.Z.,****5678,***,\"say \"\"hi\"\"\"\n";
        assert_eq!(customers().run(input.as_bytes(), &[]), Ok((want.to_owned(), counts(3, 0))));
    }

    #[test]
    fn unknown_columns_are_kept_only_where_the_job_says_so() {
        let keep = Plan::new(Shape::Csv, &[("pan", MaskRule::Redact)]).keeping();
        let got = keep.run(b"a,pan,b\r\n1,2,3\r\n", &[]);
        assert_eq!(got, Ok(("a,pan,b\n1,***,3\n".to_owned(), counts(1, 0))));
    }

    #[test]
    fn a_renamed_column_is_an_error_and_never_passes_as_unknown() {
        let keep = Plan::new(Shape::Csv, &[("pan", MaskRule::Redact)]).keeping().dropping_bad();
        let got = keep.error("a,PAN\n1,4111111111111111\n");
        assert_eq!(got, error(1, CsvError::MissingColumn("pan".into())));
    }

    #[test]
    fn malformed_rows_are_refused_with_their_number() {
        let good = "A B,4111111111111111,a@b.c,X,1,n\n";
        for (row, problem) in [
            ("A B,4111111111111111,a@b.c,X,1\n", CsvError::FieldCount),
            ("A B,4111111111111111,a@b.c,X,1,n,extra\n", CsvError::FieldCount),
            ("A B,41\"11,a@b.c,X,1,n\n", CsvError::BareQuote),
            ("A B,\"4111\"1,a@b.c,X,1,n\n", CsvError::AfterQuote),
            ("A B,4111,a@b.c,X,1,\"open\n", CsvError::OpenQuote),
            ("A\rB,4111,a@b.c,X,1,n\n", CsvError::BareCarriageReturn),
        ] {
            let input = format!("{HEADER}{good}{good}{row}");
            assert_eq!(customers().error(&input), error(4, problem), "{row}");
        }
        let mut bytes = format!("{HEADER}{good}").into_bytes();
        bytes.extend_from_slice(b"\xff\xfe Z,4111111111111111,e,X,1,n\n");
        let got = customers().run(&bytes, &[]);
        assert_eq!(got, Err(bad_field(3, "name", FieldError::NotUtf8)));
    }

    #[test]
    fn two_columns_of_one_name_are_refused() {
        let got = customers().error("name,pan,pan,email,city,ssn\n");
        assert_eq!(got, error(1, CsvError::DuplicateColumn));
    }

    #[test]
    fn an_empty_file_is_refused_for_want_of_a_header_row() {
        for input in ["", "\n\r\n", "\u{feff}"] {
            assert_eq!(customers().error(input), error(1, CsvError::NoHeader));
            let got = customers().dropping_bad().error(input);
            assert_eq!(got, error(1, CsvError::NoHeader));
        }
    }

    #[test]
    fn a_byte_order_mark_does_not_hide_the_first_column() {
        let input = format!("\u{feff}{HEADER}A B,4111111111111111,e,X,1,n\n");
        for cut in 0..6 {
            let got = customers().run(input.as_bytes(), &[cut]).unwrap();
            assert_eq!(got.0, "name,pan,email,city\nA.B.,****1111,***,X\n");
        }
    }

    #[test]
    fn a_record_is_accepted_at_the_limit_and_refused_one_past() {
        let row =
            |len: usize| format!("{HEADER}A,1,e,{},1,n\n", "x".repeat(len - "A,1,e,,1,n\n".len()));
        assert!(customers().run(row(200).as_bytes(), &[]).is_ok());
        let too_long = error(2, RecordProblem::TooLong);
        assert_eq!(customers().error(&row(201)), too_long);
        // Refused before it has ended: an endless record takes no more than the limit.
        let endless = format!("{HEADER}\"{}", "x".repeat(400));
        assert_eq!(customers().run(endless.as_bytes(), &[240]), Err(too_long));
    }

    #[test]
    fn rows_whose_end_is_certain_are_left_out_and_counted() {
        let input = format!(
            "{HEADER}A B,4111111111111111,e,X,1,n\nshort,row\nlong,1,2,\"3\n3\",4,5,6,7,8,9\n\
             C D,5500000000000004,e,Y,2,m"
        );
        let want = "name,pan,email,city\nA.B.,****1111,***,X\nC.D.,****0004,***,Y\n";
        for cut in 0..input.len() {
            let got = customers().dropping_bad().run(input.as_bytes(), &[cut]);
            assert_eq!(got, Ok((want.to_owned(), counts(2, 2))));
        }
    }

    #[test]
    fn what_makes_the_end_of_a_row_uncertain_is_never_left_out() {
        let good = "A B,4111111111111111,a@b.c,X,1,n\n";
        for (row, problem) in [
            ("a,b\"c\n", RecordProblem::from(CsvError::BareQuote)),
            ("a,\"b\"c\n", CsvError::AfterQuote.into()),
            ("1,2,3,4,5,6,7,\"8\n", CsvError::OpenQuote.into()),
            ("a\rb\n", CsvError::BareCarriageReturn.into()),
            (&format!("\"{}\"\n", "x".repeat(200)), RecordProblem::TooLong),
            (&format!("{}\n", ",".repeat(200)), RecordProblem::TooLong),
        ] {
            let input = format!("{HEADER}{good}x\n{row}{good}");
            let got = customers().dropping_bad().error(&input);
            assert_eq!(got, error(4, problem), "{row}");
        }
    }

    #[test]
    fn a_row_with_a_bad_field_leaves_nothing_of_itself_behind() {
        let plan = Plan::new(Shape::Csv, &[("id", MaskRule::Keep), ("born", MaskRule::YearOfDate)]);
        let input = "id,born\n1,1999-01-02\n2,tomorrow\n3,2001-02-03\n";
        assert_eq!(plan.error(input), bad_field(3, "born", FieldError::NotADate));
        let got = plan.dropping_bad().run(input.as_bytes(), &[]);
        assert_eq!(got, Ok(("id,born\n1,1999\n3,2001\n".to_owned(), counts(2, 1))));
    }

    #[test]
    fn a_single_empty_value_does_not_become_an_empty_line() {
        let plan = Plan::new(Shape::Csv, &[("a", MaskRule::Initials)]);
        assert_eq!(plan.text("a,b\n,1\nx,2\n"), "a\n\"\"\nx.\n");
        let nothing = Plan::new(Shape::Csv, &[("a", MaskRule::Drop)]);
        assert_eq!(nothing.run(b"a,b\n1,2\n", &[]), Ok((String::new(), counts(1, 0))));
    }

    /// What [`Plan::run`] does, written down as plainly as can be.
    fn plainly(input: &[u8]) -> String {
        let mut reader = csv::ReaderBuilder::new().from_reader(input);
        let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
        writer.write_record(["name", "pan", "note"]).unwrap();
        for row in reader.records() {
            let row = row.unwrap();
            let pan: Vec<char> = row[1].chars().collect();
            let end: String =
                if pan.len() < 8 { String::new() } else { pan[pan.len() - 4..].iter().collect() };
            writer.write_record(["***", &format!("****{end}"), &row[3]]).unwrap();
        }
        String::from_utf8(writer.into_inner().unwrap()).unwrap()
    }

    proptest! {
        #[test]
        fn the_way_the_bytes_arrive_does_not_matter(
            body in "[ab\",\r\né]{0,60}",
            cuts in prop::collection::vec(any::<usize>(), 0..8),
            drop: bool,
        ) {
            let input = format!("name,pan\n{body}");
            let mut plan = Plan::new(
                Shape::Csv, &[("name", MaskRule::Initials), ("pan", MaskRule::Keep)]).up_to(20);
            if drop { plan = plan.dropping_bad(); }
            // What is refused may be refused sooner, but for the same record.
            match (plan.run(input.as_bytes(), &cuts), plan.run(input.as_bytes(), &[])) {
                (Err(split), Err(whole)) => prop_assert_eq!(split.record, whole.record),
                (split, whole) => prop_assert_eq!(split, whole),
            }
        }

        #[test]
        fn a_dropped_or_redacted_value_never_shows(canary in "[A-Z]{12}", quoted: bool) {
            let value = if quoted { format!("\"{canary},\"\"x\"") } else { canary.clone() };
            let input = format!("{HEADER}N,4,{value},c,{value},{value}\n");
            let out = customers().text(&input);
            prop_assert!(!out.contains(&canary));
        }

        #[test]
        fn a_mask_does_to_any_rows_what_a_plain_program_does(
            rows in prop::collection::vec(prop::array::uniform4("[a1\",\r\né ]{0,12}"), 0..6),
        ) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["name", "pan", "gone", "note"]).unwrap();
            for row in &rows { writer.write_record(row).unwrap(); }
            let input = writer.into_inner().unwrap();
            let plan = Plan::new(Shape::Csv, &[
                ("pan", MaskRule::Last4), ("gone", MaskRule::Drop), ("name", MaskRule::Redact)]);
            let (ours, _) = plan.keeping().run(&input, &[]).unwrap();
            // Quotes may differ, values not.
            let read = |text: &[u8]| -> Vec<Vec<String>> {
                let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text);
                reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect()
            };
            prop_assert_eq!(read(ours.as_bytes()), read(plainly(&input).as_bytes()));
        }
    }
}

mod json_lines {
    use super::*;

    fn cards() -> Plan {
        Plan::new(
            Shape::Ndjson,
            &[
                ("/card/pan", MaskRule::Last4),
                ("/name", MaskRule::Initials),
                ("/items/*/note", MaskRule::Redact),
                ("/items/*/sku", MaskRule::Keep),
                ("/ssn", MaskRule::Drop),
            ],
        )
    }

    #[test]
    fn named_fields_are_masked_wherever_they_lie_and_others_left_out() {
        let input = "{\"name\": \"Ada Lovelace\", \"card\": {\"pan\": 4111111111111111, \"exp\": 1}, \
                     \"ssn\": 1, \"items\": [{\"note\": [1], \"sku\": {\"a\":  1}}, 7, {\"x\": 1}]}\r\n\
                     \n{\"other\":1}";
        let want = "{\"name\":\"A.L.\",\"card\":{\"pan\":\"****1111\"},\
                    \"items\":[{\"note\":\"***\",\"sku\":{\"a\":  1}},{}]}\n{}\n";
        assert_eq!(cards().run(input.as_bytes(), &[]), Ok((want.to_owned(), counts(2, 0))));
    }

    #[test]
    fn what_is_not_named_is_kept_byte_for_byte_where_the_job_says_so() {
        let keep = Plan::new(Shape::Ndjson, &[("/pan", MaskRule::Last4)]).keeping();
        let input = r#"{"n\u0061me": "\ud83d\ude00 \/", "x": [ 1e999, -0.0, "\udead" ],"pan":"x"}"#;
        let want = "{\"n\\u0061me\":\"\\ud83d\\ude00 \\/\",\
                    \"x\":[ 1e999, -0.0, \"\\udead\" ],\"pan\":\"****\"}\n";
        assert_eq!(keep.text(input), want);
    }

    #[test]
    fn a_name_in_escapes_does_not_slip_past_its_rule() {
        let rules =
            [("/pan", MaskRule::Redact), ("/é😀", MaskRule::Redact), ("/a~1b", MaskRule::Drop)];
        let keep = Plan::new(Shape::Ndjson, &rules).keeping();
        let input = r#"{"p\u0061n":"4111","\u00e9\ud83D\uDE00":"x","a\/b":"y","z":1}"#;
        let want = r#"{"p\u0061n":"***","\u00e9\ud83D\uDE00":"***","z":1}"#;
        assert_eq!(keep.text(input), format!("{want}\n"));
    }

    #[test]
    fn a_field_that_is_not_where_the_job_says_is_an_error_when_the_rest_is_kept() {
        let rules = [("/card/pan", MaskRule::Redact), ("/items/*/note", MaskRule::Redact)];
        let plan = Plan::new(Shape::Ndjson, &rules);
        for (record, field) in [
            (r#"{"card":{"PAN":"4111"},"items":[]}"#, "/card/pan"),
            (r#"{"Card":{"pan":"4111"},"items":[]}"#, "/card/pan"),
            (r#"{"card":"4111","items":[]}"#, "/card/pan"),
            (r#"{"card":null,"items":[]}"#, "/card/pan"),
            (r#"{"card":[{"pan":"4111"}],"items":[]}"#, "/card/pan"),
            (r#"{"card":{"pan":1}}"#, "/items/*/note"),
            (r#"{"card":{"pan":1},"items":{"note":"x"}}"#, "/items/*/note"),
            (r#"{"card":{"pan":1},"items":{"*":{"note":"x"}}}"#, "/items/*/note"),
            (r#"{"card":{"pan":1},"items":[{"note":"x"},{"Note":"x"}]}"#, "/items/*/note"),
            (r#"{"card":{"pan":1},"items":[[{"note":"x"}]]}"#, "/items/*/note"),
            (r#"{"card":{"pan":1},"items":["x"]}"#, "/items/*/note"),
            (r#"[]"#, "/card/pan"),
        ] {
            let keep = Plan::new(Shape::Ndjson, &rules).keeping();
            assert_eq!(keep.error(record), error(1, missing(field)), "{record}");
            let out = plan.text(record);
            assert!(!out.contains("4111") && !out.contains('x'), "{record}: {out}");
        }
        let keep = plan.keeping();
        assert!(keep.run(br#"{"card":{"pan":[]},"items":[]}"#, &[]).is_ok());
    }

    #[test]
    fn members_of_one_name_are_refused_on_the_way_to_a_field() {
        let keep = || Plan::new(Shape::Ndjson, &[("/card/pan", MaskRule::Redact)]).keeping();
        let duplicate = JsonError::DuplicateName("/card/pan".into());
        for record in [
            r#"{"card":{"pan":"1","pan":"2"}}"#,
            r#"{"card":{"pan":"1","p\u0061n":"2"}}"#,
            r#"{"card":{"pan":"1"},"card":{"pan":"2"}}"#,
            r#"{"card":{"pan":"1"},"card":"2"}"#,
        ] {
            assert_eq!(keep().error(record), error(1, duplicate.clone()), "{record}");
        }
        // Of no rule's concern: each goes on as it stands.
        let other = "{\"a\":1,\"a\":2,\"card\":{\"pan\":\"***\",\"x\":{\"pan\":1,\"pan\":2}}}\n";
        assert_eq!(keep().text(other), other);
        // The same name in another element is no duplicate.
        let each = Plan::new(Shape::Ndjson, &[("/*/a", MaskRule::Redact)]).keeping();
        assert_eq!(each.text(r#"[{"a":1},{"a":2}]"#), "[{\"a\":\"***\"},{\"a\":\"***\"}]\n");
    }

    #[test]
    fn a_number_of_an_element_and_each_element_go_together() {
        let rules = [("/0/a", MaskRule::Redact), ("/*/b", MaskRule::Redact)];
        let plan = Plan::new(Shape::Ndjson, &rules);
        let input = r#"[{"a":1,"b":2,"c":3},{"a":1,"b":2},{"z":1},3]"#;
        assert_eq!(plan.text(input), "[{\"a\":\"***\",\"b\":\"***\"},{\"b\":\"***\"},{}]\n");
        // As members' names, numbers are names.
        let got = plan.text(r#"{"0":{"a":1,"b":2},"00":{"a":1},"1":{"b":1}}"#);
        assert_eq!(got, "{\"0\":{\"a\":\"***\"}}\n");
        // As elements' numbers, names that are no numbers lead nowhere.
        let names = Plan::new(Shape::Ndjson, &[("/00", MaskRule::Keep), ("/+1", MaskRule::Keep)]);
        assert_eq!(names.text("[1,2]"), "[]\n");
        let keep = plan.keeping();
        assert_eq!(keep.error(r#"[{"a":1}]"#), error(1, missing("/*/b")));
        assert_eq!(keep.error(r#"[{"b":1}]"#), error(1, missing("/0/a")));
        assert!(keep.run(br#"[{"a":1,"b":1},{"b":1}]"#, &[]).is_ok());
        let keep = Plan::new(Shape::Ndjson, &[("/a/1", MaskRule::Redact)]).keeping();
        assert_eq!(keep.text(r#"{"a":[0,1,2]}"#), "{\"a\":[0,\"***\",2]}\n");
        assert_eq!(keep.error(r#"{"a":[0]}"#), error(1, missing("/a/1")));
    }

    #[test]
    fn members_and_elements_are_left_out_with_their_commas() {
        let rules = [("/a", MaskRule::Drop), ("/l/*", MaskRule::Drop), ("/m/1", MaskRule::Drop)];
        let plan = Plan::new(Shape::Ndjson, &rules).keeping();
        let input = r#"{"a":1,"l":[1,2],"b":2,"m":[1,2,3]}"#;
        assert_eq!(plan.text(input), "{\"l\":[],\"b\":2,\"m\":[1,3]}\n");
        let input = r#"{"l":[],"b":2,"m":[1,2],"a":[1]}"#;
        assert_eq!(plan.text(input), "{\"l\":[],\"b\":2,\"m\":[1]}\n");
    }

    #[test]
    fn malformed_lines_are_refused_and_left_out_where_the_job_says_so() {
        for (line, problem) in [
            (&b"{\"name\":1} {}"[..], JsonError::Syntax),
            (b"{\"name\":1}}", JsonError::Syntax),
            (b"{\"name\":1,}", JsonError::Syntax),
            (b"{\"name\":01}", JsonError::Syntax),
            (b"{\"name\":1", JsonError::Syntax),
            (b"{\"name\":\"\x01\"}", JsonError::Syntax),
            (b"{\"name\":\"\\x\"}", JsonError::Syntax),
            (b"{\"name\":\"\\u12g4\"}", JsonError::Syntax),
            (b"{\"name\":\"\\u+123\"}", JsonError::Syntax),
            (b"{\"name\":\"\0\"}", JsonError::Syntax),
            (b"{'name':1}", JsonError::Syntax),
            (b"{name:1}", JsonError::Syntax),
            (b"{\"x\":NaN}", JsonError::Syntax),
            (b"{}\x0c", JsonError::Syntax),
            (b"[1,]", JsonError::Syntax),
            (b"  ", JsonError::Syntax),
            (b"tru", JsonError::Syntax),
            (b"\xef\xbb\xbf{}", JsonError::Syntax),
            (b"true", JsonError::NotARecord),
            (b"\"4111111111111111\"", JsonError::NotARecord),
            (b"{\"x\":\"\xff\"}", JsonError::NotUtf8),
            (b"{\"x\":\"\xed\xa0\x80\"}", JsonError::NotUtf8),
            (b"{\"name\":\"\\ud800\"}", JsonError::Surrogate),
            (b"{\"name\":\"\\udc00\\ud800\"}", JsonError::Surrogate),
            (b"{\"name\":\"\\ud800\\u0041\"}", JsonError::Surrogate),
            (b"{\"name\":\"\\ud800x\"}", JsonError::Surrogate),
            (b"{\"\\ud800\":1}", JsonError::Surrogate),
        ] {
            let input = [&b"{\"name\":\"A\"}\n\n"[..], line, b"\n{\"name\":\"B\"}"].concat();
            let shown = String::from_utf8_lossy(line);
            assert_eq!(cards().run(&input, &[]), Err(error(2, problem)), "{shown}");
            let want = "{\"name\":\"A.\"}\n{\"name\":\"B.\"}\n".to_owned();
            let got = cards().dropping_bad().run(&input, &[]);
            assert_eq!(got, Ok((want, counts(2, 1))), "{shown}");
        }
    }

    #[test]
    fn bad_fields_are_named() {
        let nested = bad_field(2, "/name", FieldError::Nested);
        assert_eq!(cards().error("{}\n{\"name\":{\"first\":\"x\"}}\n"), nested);
        assert_eq!(nested.to_string(), "record 2: the field \"/name\": it is an array or object");
    }

    #[test]
    fn a_line_is_accepted_at_the_limit_and_one_past_is_left_out_without_being_held() {
        let line = |len: usize| format!("{{\"x\":\"{}\"}}\n", "x".repeat(len - 9));
        assert!(cards().run(line(200).as_bytes(), &[]).is_ok());
        let long = format!("{}{}{{}}", line(200), line(201));
        assert_eq!(cards().error(&long), error(2, RecordProblem::TooLong));
        assert_eq!(
            cards().dropping_bad().run(long.as_bytes(), &[]),
            Ok(("{}\n{}\n".into(), counts(2, 1)))
        );
        let mut fields = cards().dropping_bad().fields();
        let (mut pending, mut out) = (SecretBuf::new(), SecretBuf::new());
        for _ in 0..1000 {
            pending.extend_from_slice(&[b'x'; 100]);
            step(&mut fields, &mut pending, false, &mut out).unwrap();
            assert!(pending.len() <= 200);
        }
        pending.extend_from_slice(b"\n{}");
        step(&mut fields, &mut pending, true, &mut out).unwrap();
        let counted = fields.counts();
        assert_eq!((out.expose(), counted), (&b"{}\n"[..], counts(1, 1)));
    }

    #[test]
    fn deep_nesting_takes_no_stack() {
        let deep =
            |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
        let plan = || Plan::new(Shape::Ndjson, &[("/a", MaskRule::Redact)]).up_to(2_000_000);
        for value in [deep("[", "]"), deep("{\"a\":", "}").replace(":}", ":1}")] {
            let keep = plan().keeping().text(&format!("{{\"a\":1,\"b\":{value}}}"));
            assert_eq!(keep, format!("{{\"a\":\"***\",\"b\":{value}}}\n"));
            assert_eq!(plan().text(&format!("{{\"a\":{value}}}")), "{\"a\":\"***\"}\n");
        }
        let open = "[".repeat(1_000_000);
        assert_eq!(plan().error(&open), error(1, JsonError::Syntax));
    }

    #[test]
    fn a_masked_text_is_written_so_that_it_reads_back() {
        let plan = Plan::new(Shape::Ndjson, &[("/a", MaskRule::First6Last4)]);
        let input = r#"{"a":"\"\\\n\u0001\u007f\u2028 hidden \t\r\b😀"}"#;
        let got: serde_json::Value = serde_json::from_str(&plan.text(input)).unwrap();
        assert_eq!(got["a"], "\"\\\n\u{1}\u{7f}\u{2028}******\t\r\u{8}😀");
        assert!(!plan.text(input).trim_end().bytes().any(|b| b < 0x20));
    }

    #[test]
    fn an_empty_file_has_no_records() {
        for input in ["", "\n\r\n", "\u{feff}"] {
            assert_eq!(cards().run(input.as_bytes(), &[]), Ok((String::new(), counts(0, 0))));
        }
    }
}

mod json_documents {
    use super::*;

    fn pans() -> Plan {
        Plan::new(Shape::Json, &[("/pan", MaskRule::Last4)])
    }

    #[test]
    fn the_elements_of_an_array_are_records() {
        let input = "\u{feff} [ {\"pan\": 41111111} ,\n{\"pan\":\"]\\\"}[\", \"x\":[{}]}, {}]\r\n ";
        let want = "[{\"pan\":\"****1111\"},\n{\"pan\":\"****\"},\n{}]\n";
        for cut in 0..input.len() {
            let got = pans().run(input.as_bytes(), &[cut]);
            assert_eq!(got, Ok((want.to_owned(), counts(3, 0))));
        }
        assert_eq!(pans().run(b" [ ]", &[]), Ok(("[]\n".to_owned(), counts(0, 0))));
    }

    #[test]
    fn any_other_document_is_one_record() {
        let plan = Plan::new(Shape::Json, &[("/a/*/pan", MaskRule::Last4)]);
        let input = "\n{\"a\":[{\"pan\":1},\n{\"pan\":2}]}\n\n";
        let want = "{\"a\":[{\"pan\":\"****\"},{\"pan\":\"****\"}]}\n";
        for cut in 0..input.len() {
            let got = plan.run(input.as_bytes(), &[cut]);
            assert_eq!(got, Ok((want.to_owned(), counts(1, 0))));
        }
        let long = format!("{{\"a\":\"{}", "x".repeat(400));
        assert_eq!(plan.run(long.as_bytes(), &[240]), Err(error(1, RecordProblem::TooLong)));
        assert_eq!(plan.error("4111"), error(1, JsonError::NotARecord));
        assert_eq!(plan.error("{} {}"), error(1, JsonError::Syntax));
    }

    #[test]
    fn a_broken_array_is_refused_even_where_bad_records_are_left_out() {
        for (input, record, problem) in [
            ("", 1, JsonError::Unended),
            ("  ", 1, JsonError::Unended),
            ("[", 1, JsonError::Unended),
            ("[{}", 2, JsonError::Unended),
            ("[{},", 2, JsonError::Unended),
            ("[{},{\"a\":\"]", 2, JsonError::Unended),
            ("[{},]", 2, JsonError::Syntax),
            ("[,{}]", 1, JsonError::Syntax),
            ("[{} {}]", 2, JsonError::Syntax),
            ("[{}}]", 2, JsonError::Syntax),
            ("[{}],", 2, JsonError::Syntax),
            ("[{}][]", 2, JsonError::Syntax),
            ("[{\"a\":1", 1, JsonError::Unended),
            ("[{\"a\":1]", 1, JsonError::Syntax),
            ("[{\"a\":[1}]]", 1, JsonError::Syntax),
            ("[{\"a\":[1}}]", 1, JsonError::Syntax),
            ("[{\"a\":1,}]", 1, JsonError::Syntax),
            ("[{}, nul]", 2, JsonError::Syntax),
            // Bad twice: what can be left out must be well-formed to its end.
            ("[{\"pan\":[],\"x\":\"a\"b,\"y\":\"c\"}]", 1, JsonError::Syntax),
        ] {
            assert_eq!(
                pans().dropping_bad().error(input),
                error(record, problem.clone()),
                "{input}"
            );
            assert_eq!(pans().error(input), error(record, problem), "{input}");
        }
        let got = pans().dropping_bad().run(b"[{\"x\":\"\xff\"}]", &[]);
        assert_eq!(got, Err(error(1, JsonError::NotUtf8)));
        let long = format!("[{{\"x\":\"{}\"}}]", "x".repeat(200));
        assert_eq!(pans().dropping_bad().error(&long), error(1, RecordProblem::TooLong));
    }

    #[test]
    fn well_formed_records_with_bad_fields_are_left_out_of_the_array() {
        let input = "[{\"pan\":[]},{\"pan\":1},\"4111\",{\"pan\":1,\"pan\":2},\
                     {\"pan\":\"\\ud800\"},{\"pan\":2},{\"pan\":{}}]";
        let want = "[{\"pan\":\"****\"},\n{\"pan\":\"****\"}]\n";
        let got = pans().dropping_bad().run(input.as_bytes(), &[]);
        assert_eq!(got, Ok((want.to_owned(), counts(2, 5))));
        assert_eq!(pans().dropping_bad().text("[{\"pan\":[]}]"), "[]\n");
    }

    #[test]
    fn overlapping_arrays_are_not_mistaken_for_records() {
        let plan = Plan::new(Shape::Json, &[("/0/0", MaskRule::Redact), ("/1", MaskRule::Keep)]);
        assert_eq!(plan.text("[[[1,2],3],[[4]],[]]"), "[[[\"***\"],3],\n[[\"***\"]],\n[]]\n");
    }
}

/// Any JSON value whose members have few names, so that paths lead somewhere.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        // With digits behind the point that every reader reads alike.
        any::<i32>().prop_map(|eighths| (f64::from(eighths) / 8.0).into()),
        "[a1@ \"\\\\\n\u{1}é😀]{0,10}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[a-c0]|\\PC", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_container() -> impl Strategy<Value = serde_json::Value> {
    any_json().prop_filter("a record", |json| json.is_object() || json.is_array())
}

/// Paths that do not overlap, with a rule each.
const PATHS: [(&str, MaskRule); 5] = [
    ("/a", MaskRule::Redact),
    ("/b/a", MaskRule::Drop),
    ("/b/*", MaskRule::Redact),
    ("/c/b/c", MaskRule::Keep),
    ("/0", MaskRule::Redact),
];

/// What [`PATHS`] do to a record, written down as plainly as can be: `None` when
/// a field is not there.
fn plainly(
    json: &serde_json::Value,
    paths: &[(Vec<&str>, MaskRule)],
    keep: bool,
) -> Option<serde_json::Value> {
    let below = |step: &str, array: bool| -> Vec<(Vec<&str>, MaskRule)> {
        let fits = |first: &str| if first == "*" { array } else { first == step };
        paths
            .iter()
            .filter(|(path, _)| fits(path[0]))
            .map(|(path, rule)| (path[1..].to_vec(), rule.clone()))
            .collect()
    };
    let child = |step: &str,
                 value: &serde_json::Value,
                 array: bool|
     -> Option<Option<serde_json::Value>> {
        let below = below(step, array);
        match below.as_slice() {
            [] => Some(keep.then(|| value.clone())),
            [(path, rule), ..] if path.is_empty() => Some(match rule {
                MaskRule::Redact => Some("***".into()),
                MaskRule::Keep => Some(value.clone()),
                _ => None,
            }),
            below if value.is_object() || value.is_array() => plainly(value, below, keep).map(Some),
            _ => (!keep).then_some(None),
        }
    };
    let there = |path: &Vec<&str>| match json {
        serde_json::Value::Object(map) => path[0] != "*" && map.contains_key(path[0]),
        serde_json::Value::Array(list) => {
            path[0] == "*" || path[0].parse::<usize>().is_ok_and(|index| index < list.len())
        }
        _ => false,
    };
    if keep && !paths.iter().all(|(path, _)| there(path)) {
        return None;
    }
    match json {
        serde_json::Value::Object(map) => {
            let mut new = serde_json::Map::new();
            for (name, value) in map {
                if let Some(value) = child(name, value, false)? {
                    new.insert(name.clone(), value);
                }
            }
            Some(new.into())
        }
        serde_json::Value::Array(list) => {
            let mut new = Vec::new();
            for (index, value) in list.iter().enumerate() {
                new.extend(child(&index.to_string(), value, true)?);
            }
            Some(new.into())
        }
        _ => None,
    }
}

proptest! {
    #[test]
    fn a_mask_does_to_any_document_what_a_plain_program_does(
        json in any_container(), keep: bool, spaced: bool, chosen in prop::sample::subsequence(&PATHS[..], 1..4),
    ) {
        // `/b/a` and `/b/*` do not overlap: one is a member's, the other an element's.
        let mut plan = Plan::new(Shape::Ndjson, &chosen).up_to(1 << 20);
        if keep { plan = plan.keeping(); }
        let paths: Vec<_> = chosen.iter().map(|(path, rule)| (path.split('/').skip(1).collect(), rule.clone())).collect();
        let text = if spaced { format!("{json:#}").replace('\n', " ") } else { json.to_string() };
        let got = plan.run(text.as_bytes(), &[]);
        match plainly(&json, &paths, keep) {
            Some(want) => {
                let (text, _) = got.unwrap();
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), want);
            }
            None => prop_assert!(matches!(
                got.unwrap_err().problem, RecordProblem::Json(JsonError::MissingField(_)))),
        }
    }

    #[test]
    fn the_way_json_arrives_does_not_matter(
        records in prop::collection::vec(any_json(), 0..5),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
        lines: bool, drop: bool,
        garbage in prop::option::of((any::<usize>(), "[\\[\\]{}\",:\\\\a\n ]{1,3}")),
    ) {
        let texts: Vec<String> = records.iter().map(ToString::to_string).collect();
        let (shape, mut input) = if lines {
            (Shape::Ndjson, texts.join("\n"))
        } else {
            (Shape::Json, format!("[{}]", texts.join(" , ")))
        };
        if let Some((at, text)) = garbage {
            let mut at = at % (input.len() + 1);
            while !input.is_char_boundary(at) { at -= 1; }
            input.insert_str(at, &text);
        }
        let mut plan = Plan::new(shape, &[("/a", MaskRule::Last4), ("/b/*", MaskRule::Keep)]).up_to(60);
        if drop { plan = plan.dropping_bad(); }
        match (plan.run(input.as_bytes(), &cuts), plan.run(input.as_bytes(), &[])) {
            (Err(split), Err(whole)) => prop_assert_eq!(split.record, whole.record),
            (split, whole) => prop_assert_eq!(split, whole),
        }
    }

    #[test]
    fn no_input_panics(
        input in "[\\[\\]{}\",:\\\\abnu0d8 \n\r\u{feff}é]{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..40), keep: bool, drop: bool,
    ) {
        for (shape, path) in [(Shape::Csv, "a"), (Shape::Ndjson, "/a"), (Shape::Json, "/a"), (Shape::Bytes, "/a")] {
            let mut plan = Plan::new(shape, &[(path, MaskRule::Last4)]);
            if keep { plan = plan.keeping(); }
            if drop { plan = plan.dropping_bad(); }
            let _ = plan.run(input.as_bytes(), &[7]);
            let _ = plan.run(&bytes, &[7]);
            let _ = plan.run(&[b"a,b\n", &bytes[..]].concat(), &[7]);
        }
    }
}

/// Deals with what has come and takes it off the front.
fn step(
    fields: &mut Fields,
    pending: &mut SecretBuf,
    at_end: bool,
    out: &mut SecretBuf,
) -> Result<(), RecordError> {
    let used = fields.process(pending.expose(), at_end, out)?;
    pending.consume(used);
    Ok(())
}
