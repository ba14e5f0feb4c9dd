//! SigV4's timestamps, `YYYYMMDDTHHMMSSZ`.

/// Unix seconds of a timestamp; `None` when it is not one.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 16 && bytes.get(8) == Some(&b'T') && bytes.get(15) == Some(&b'Z');
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u64>().ok())?
    };
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    let valid = shaped
        && year >= 1970
        && (1..=12).contains(&month)
        && (1..=month_len(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let days = (1970..year).map(year_len).sum::<u64>()
        + (1..month).map(|month| month_len(year, month)).sum::<u64>()
        + day.checked_sub(1)?;
    valid.then_some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// The timestamp of unix seconds.
pub(crate) fn format(unix_secs: u64) -> String {
    let (mut days, rest) = (unix_secs / 86_400, unix_secs % 86_400);
    let mut year = 1970;
    while days >= year_len(year) {
        days -= year_len(year);
        year += 1;
    }
    let mut month = 1;
    while days >= month_len(year, month) {
        days -= month_len(year, month);
        month += 1;
    }
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{:02}T{hour:02}{minute:02}{second:02}Z", days + 1)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn year_len(year: u64) -> u64 {
    365 + u64::from(is_leap(year))
}

fn month_len(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_second_until_9999_reads_back(secs in 0_u64..253_402_300_800) {
            prop_assert_eq!(parse(&format(secs)), Some(secs));
        }

        #[test]
        fn no_text_panics(text in ".{0,20}") {
            if let Some(secs) = parse(&text) {
                prop_assert_eq!(format(secs), text);
            }
        }
    }

    #[test]
    fn timestamps_read_and_write_alike() {
        for (text, secs) in [
            ("19700101T000000Z", 0),
            ("20000229T235959Z", 951_868_799),
            ("20191028T132805Z", 1_572_269_285),
            ("20261124T061251Z", 1_795_500_771),
        ] {
            assert_eq!(parse(text), Some(secs), "{text}");
            assert_eq!(format(secs), text);
        }
    }

    #[test]
    fn what_is_no_timestamp_is_refused() {
        for text in [
            "",
            "20261124",
            "20261124T061251",
            "20261124 061251Z",
            "20261324T061251Z",
            "20260229T061251Z",
            "20261100T061251Z",
            "20261124T241251Z",
            "+0261124T061251Z",
            "20261124T061251Zx",
            "é0261124T06125Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
