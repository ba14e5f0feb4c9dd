use super::*;
use crate::operation::helpers::Helpers;

#[test]
fn a_panic_in_a_helper_goes_on_in_its_request_and_nowhere_else() {
    let helpers = Helpers::new(1);
    for waits_for_a_part in [true, false] {
        let work = |parts: &Receiver<Part>, _: &Sender<Ended>| {
            let _ = parts.recv();
            // Unlike `panic!`, it says nothing on standard error.
            std::panic::resume_unwind(Box::new("broken"))
        };
        let mut helper = Helper::spawn(helpers.take().unwrap(), work).unwrap();
        helper.give(0, b"a part");
        let request = move || {
            if waits_for_a_part {
                helper.ended(true);
            } else {
                helper.end();
            }
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(request));
        assert_eq!(outcome.unwrap_err().downcast_ref(), Some(&"broken"));
    }
    // The request that fails otherwise waits for it and gives it back.
    drop(Helper::spawn(helpers.take().unwrap(), |_, _| std::panic::resume_unwind(Box::new(1))));
    assert!(helpers.take().is_some());
}
