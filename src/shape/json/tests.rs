//! JSON strings, against `serde_json`.

use super::*;
use proptest::prelude::*;

fn unescaped(inner: &str) -> Result<String, JsonError> {
    let mut out = SecretBuf::new();
    unescape(inner, &mut out)?;
    Ok(String::from_utf8(out.expose().to_vec()).unwrap())
}

#[test]
fn half_a_surrogate_pair_is_refused_wherever_it_stands() {
    for inner in [
        r"\ud800",
        r"\udfff",
        r"\ud800\ud800",
        r"\udc00\ud800",
        r"\ud800x\udc00",
        r"\ud800\n",
        r"\uD83D\u0041",
    ] {
        assert_eq!(unescaped(inner), Err(JsonError::Surrogate), "{inner}");
    }
    for inner in [r"\", r"\x", r"\u", r"\u12", r"\u+123", r"\uéé", r"\u12é", r"\ud800\u12"] {
        assert_eq!(unescaped(inner), Err(JsonError::Syntax), "{inner}");
    }
    assert_eq!(unescaped(r"\ud83d\uDE00\u0000").as_deref(), Ok("😀\0"));
    assert_eq!(unescaped(r"\uffff\ue000\ud7ff").as_deref(), Ok("\u{ffff}\u{e000}\u{d7ff}"));
    assert_eq!(unescaped(r"\udbff\udfff\ud800\udc00").as_deref(), Ok("\u{10ffff}\u{10000}"));
}

proptest! {
    #[test]
    fn escapes_mean_what_serde_json_says(inner in r#"(\\["\\/bfnrtu]|\\ud[89a-d][0-9a-f]{2}|[0-9a-f]|é){0,12}"#) {
        let theirs = serde_json::from_str::<String>(&format!("\"{inner}\""));
        prop_assert_eq!(unescaped(&inner).ok(), theirs.ok());
    }

    #[test]
    fn any_text_reads_back_as_itself(text: String, control in "[\0-\u{1f}\"\\\\a]{0,8}") {
        for text in [text, control] {
            let mut out = SecretBuf::new();
            write_string(&text, &mut out);
            prop_assert_eq!(serde_json::from_slice::<String>(out.expose()).unwrap(), text);
        }
    }
}
