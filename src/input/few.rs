//! Waiting for several things at once, on the task that needs them.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// Waits for all of `work`, no more than `most` at a time; the first error ends it.
pub(super) async fn few_at_a_time<T, E, F: Future<Output = Result<T, E>> + Send>(
    work: impl Iterator<Item = F>,
    most: usize,
    mut done: impl FnMut(T),
) -> Result<(), E> {
    let mut work = work.fuse();
    let mut running: Vec<Pin<Box<F>>> = Vec::new();
    poll_fn(|cx| {
        loop {
            running.extend(work.by_ref().take(most.saturating_sub(running.len())).map(Box::pin));
            let before = running.len();
            let mut at = 0;
            while let Some(one) = running.get_mut(at) {
                match one.as_mut().poll(cx) {
                    Poll::Pending => at = at.saturating_add(1),
                    Poll::Ready(value) => {
                        drop(running.swap_remove(at));
                        done(value?);
                    }
                }
            }
            match before {
                0 => return Poll::Ready(Ok(())),
                _ if running.len() == before => return Poll::Pending,
                // There is room for others now.
                _ => {}
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::Mutex;
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    /// `count` pieces of work of a second each; how many ran at once, at most.
    async fn ran(
        count: usize,
        most: usize,
        bad: Option<usize>,
    ) -> (Result<(), usize>, Vec<usize>, usize) {
        let running = Mutex::new((0_usize, 0_usize));
        let work = (0..count).map(|number| {
            let running = &running;
            async move {
                {
                    let mut running = running.lock().unwrap();
                    running.0 += 1;
                    running.1 = running.1.max(running.0);
                }
                sleep(Duration::from_secs(1)).await;
                running.lock().unwrap().0 -= 1;
                if bad == Some(number) { Err(number) } else { Ok(number) }
            }
        });
        let done = RefCell::new(Vec::new());
        let ended = few_at_a_time(work, most, |number| done.borrow_mut().push(number)).await;
        let mut done = done.into_inner();
        done.sort_unstable();
        let most = running.lock().unwrap().1;
        (ended, done, most)
    }

    #[tokio::test(start_paused = true)]
    async fn all_is_done_and_never_more_than_so_much_at_once() {
        for (count, most) in [(0, 4), (1, 4), (4, 4), (5, 4), (13, 4), (3, 1)] {
            let started = Instant::now();
            let (ended, done, at_once) = ran(count, most, None).await;
            assert_eq!((ended, done), (Ok(()), (0..count).collect()));
            assert_eq!(at_once, count.min(most));
            let rounds = u64::try_from(count.div_ceil(most)).unwrap();
            assert!(
                started.elapsed() < Duration::from_millis(1000 * rounds + 100),
                "{count} {most}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_error_ends_it() {
        let (ended, done, _) = ran(100, 4, Some(5)).await;
        assert_eq!(ended, Err(5));
        assert!(done.len() < 8, "{done:?}");
    }

    #[tokio::test]
    async fn work_that_is_done_at_once_makes_room_at_once() {
        let mut done = 0;
        let work = (0..1000).map(|number| async move { Ok::<_, ()>(number) });
        few_at_a_time(work, 2, |_: usize| done += 1).await.unwrap();
        assert_eq!(done, 1000);
    }
}
