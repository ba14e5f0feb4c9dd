//! vsock's facts of life, seen from a booted enclave.

use std::time::Duration;

use strongroom_client::{Client, Error};
use strongroom_wire::FrameKind;
use strongroom_wire::frame::PREFACE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::booted::Booted;
use crate::house::{MASKED, mask};
use crate::raw::{connect, end, frame, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_closes_its_half_gets_its_answer_and_then_the_end() {
    let Some(booted) = Booted::usual().await else { return };
    let message = booted.house.acme().await;
    let all =
        [&PREFACE[..], &run(), &frame(FrameKind::Data, &message), &end(message.len())].concat();
    let mut stream = connect(&booted.house).await;
    stream.write_all(&all).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer))
        .await
        .expect("the enclave closes after its answer")
        .unwrap();
    assert!(answer.windows(MASKED.len()).any(|window| window == MASKED.as_bytes()));
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_leave_at_any_byte_and_many_at_once_harm_nobody() {
    let Some(booted) = Booted::usual().await else { return };
    let house = &booted.house;
    let message = house.acme().await;
    let all =
        [&PREFACE[..], &run(), &frame(FrameKind::Data, &message), &end(message.len())].concat();
    for cut in (0..all.len()).step_by(7) {
        let mut stream = connect(house).await;
        stream.write_all(&all[..cut]).await.unwrap();
    }
    let mut calls = JoinSet::new();
    for _ in 0..32 {
        let (address, message) = (house.address.clone(), message.clone());
        calls.spawn(async move {
            let mut output = Vec::new();
            let mut client = Client::connect(&address).await?;
            client.run(&mask("acme"), message.as_slice(), &mut output).await?;
            Ok::<_, Error>(output)
        });
    }
    for answer in calls.join_all().await {
        assert_eq!(answer.unwrap(), MASKED.as_bytes());
    }
    assert!(booted.machine.console().contains("vsock:3"), "the peer's context id is logged");
    house.refusal(&mask("nobody"), &message).await;
}
