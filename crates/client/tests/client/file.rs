//! A result file is there whole, or not at all.

use std::path::Path;

use strongroom_client::{Error, Protect};

use crate::peer::{answering, job, pair, whole};

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_whole_result_replaces_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.csv");
    std::fs::write(&path, "old").unwrap();
    let (mut client, _peer) = answering(|request, _| whole(request.id, Protect::None, &[b"new"]));
    client.run_to_file(&job(), &b"in"[..], &path).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
    assert_eq!(names(directory.path()), ["out.csv"]);
}

#[tokio::test]
async fn a_partial_result_leaves_the_old_file_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.csv");
    std::fs::write(&path, "old").unwrap();
    let (mut client, _peer) = answering(|request, _| {
        let mut answer = whole(request.id, Protect::None, &[b"new"]);
        answer.pop();
        answer
    });
    let error = client.run_to_file(&job(), &b"in"[..], &path).await.unwrap_err();
    assert!(matches!(error, Error::Partial { received: 3, .. }), "{error:?}");
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(names(directory.path()), ["out.csv"]);
}

#[tokio::test]
async fn a_dropped_run_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.csv");
    let (mut client, _far) = pair();
    let job = job();
    {
        let call = client.run_to_file(&job, &b"in"[..], &path);
        tokio::pin!(call);
        let waited = tokio::time::timeout(std::time::Duration::from_millis(1), &mut call).await;
        assert!(waited.is_err());
        assert_eq!(names(directory.path()).len(), 1, "it had begun");
    }
    assert!(names(directory.path()).is_empty());
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_found_out_before_anything_is_sent() {
    let (mut client, far) = pair();
    for path in ["/nonexistent/out", "/", ".."] {
        let error = client.run_to_file(&job(), &b"in"[..], path).await.unwrap_err();
        assert!(matches!(error, Error::Output(_)), "{path}: {error:?}");
    }
    drop(client);
    assert!(crate::peer::Service::new(far).next().await.is_none());
}
