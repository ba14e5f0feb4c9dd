//! Rule 10: a parent that moves the enclave's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use strongroom_client::ErrorCode;
use strongroom_sim::SimNsm;

use crate::house::{House, MASKED, Plan, mask, now_ms};

#[tokio::test]
async fn kms_is_not_used_while_the_clock_is_off_and_is_again_afterwards() {
    let off = Arc::new(AtomicI64::new(0));
    let clock = {
        let off = Arc::clone(&off);
        Arc::new(move || now_ms().saturating_add_signed(off.load(SeqCst)))
    };
    let house = House::built(Plan { nsm: SimNsm::builder().clock(clock), ..Plan::default() }).await;
    let message = house.acme().await;
    for millis in [-3_600_000, -301_000, 302_000, 3_600_000] {
        off.store(millis, SeqCst);
        let calls = house.nitro.kms.audit_log().len();
        let refused = house.refusal(&mask("acme"), &message).await;
        assert_eq!(refused.code, ErrorCode::AttestationFailed);
        assert!(refused.message.contains("clock is"), "{}", refused.message);
        assert_eq!(house.nitro.kms.audit_log().len(), calls, "KMS was asked all the same");
    }
    off.store(0, SeqCst);
    assert_eq!(house.mask(&message).await.unwrap(), MASKED);
}
