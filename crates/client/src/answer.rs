//! What may come in answer to one request, and in which order. Sans-IO.
//!
//! ```text
//! Outcome ── RESPONSE ──▶ Body ── DATA* ──▶ Body ── END ──▶ Over
//!    └────── ERROR ─────────┴─────▶ Over
//! ```
//!
//! Fed by [`crate::exchange`] with what the frame decoder finds. Trusts nothing
//! that arrives: the peer is the parent, or whoever answers in its place.

use strongroom_wire::{
    Call, ErrorBody, Event, FrameKind, Outcome, Payload as _, Request, RequestId, Response, Trailer,
};

use crate::error::{Error, ProtocolError};

/// The answer to one request, as far as it has come.
#[derive(Debug)]
pub(crate) struct Answer {
    id: RequestId,
    asked: Asked,
    state: State,
}

/// One accepted piece of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// The request was accepted.
    Outcome(Outcome),
    /// Bytes of the body; may be none.
    Data(&'a [u8]),
    /// The answer is whole.
    End(Trailer),
}

impl Answer {
    /// An answer to `request` of which nothing has come yet.
    pub(crate) const fn to(request: &Request) -> Self {
        Self { id: request.id, asked: Asked::of(&request.call), state: State::Outcome }
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// [`Error::Service`] when the service says that the request failed;
    /// [`Error::Protocol`] when the event may not come here. The answer is over
    /// either way, and what came before is void.
    pub(crate) fn take<'a>(&mut self, event: Event<'a>) -> Result<Part<'a>, Error> {
        let part = match event {
            Event::Control(FrameKind::Response, cbor) => self.response(cbor),
            Event::Control(FrameKind::End, cbor) => self.end(cbor),
            Event::Control(FrameKind::Error, cbor) => Err(self.failure(cbor)),
            Event::Data(bytes) => self.data(bytes),
            Event::Control(FrameKind::Request | FrameKind::Data, _) => Err(unexpected("REQUEST")),
        };
        if part.is_err() {
            self.state = State::Over;
        }
        part
    }

    fn response<'a>(&mut self, cbor: &[u8]) -> Result<Part<'a>, Error> {
        let State::Outcome = self.state else {
            return Err(unexpected("RESPONSE"));
        };
        let response = Response::decode(cbor).map_err(ProtocolError::Message)?;
        if response.id != self.id {
            return Err(ProtocolError::OtherRequest.into());
        }
        if !self.asked.is_answered_by(&response.outcome) {
            return Err(ProtocolError::OtherCall.into());
        }
        self.state = State::Body { received: 0 };
        Ok(Part::Outcome(response.outcome))
    }

    fn data<'a>(&mut self, bytes: &'a [u8]) -> Result<Part<'a>, Error> {
        match (&mut self.state, self.asked) {
            (State::Body { received }, Asked::Run) => {
                *received = received.saturating_add(len(bytes));
                Ok(Part::Data(bytes))
            }
            _ => Err(unexpected("DATA")),
        }
    }

    fn end<'a>(&mut self, cbor: &[u8]) -> Result<Part<'a>, Error> {
        let State::Body { received } = self.state else {
            return Err(unexpected("END"));
        };
        let trailer = Trailer::decode(cbor).map_err(ProtocolError::Message)?;
        if trailer.bytes != received {
            return Err(ProtocolError::ByteCount { announced: trailer.bytes, received }.into());
        }
        self.state = State::Over;
        Ok(Part::End(trailer))
    }

    fn failure(&self, cbor: &[u8]) -> Error {
        match (&self.state, ErrorBody::decode(cbor)) {
            (State::Over, _) => unexpected("ERROR"),
            (_, Ok(body)) => Error::Service(Box::new(body)),
            (_, Err(error)) => ProtocolError::Message(error).into(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Outcome,
    Body { received: u64 },
    Over,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Run,
    Attest,
    Credentials,
    Status,
}

impl Asked {
    const fn of(call: &Call) -> Self {
        match call {
            Call::Run(_) | Call::Signed(_) => Self::Run,
            Call::Attest(_) => Self::Attest,
            Call::Credentials(_) => Self::Credentials,
            Call::Status {} => Self::Status,
        }
    }

    const fn is_answered_by(self, outcome: &Outcome) -> bool {
        matches!(
            (self, outcome),
            (Self::Run, Outcome::Run { .. })
                | (Self::Attest, Outcome::Attest { .. })
                | (Self::Credentials, Outcome::Credentials {})
                | (Self::Status, Outcome::Status(_))
        )
    }
}

fn unexpected(frame: &'static str) -> Error {
    ProtocolError::Unexpected(frame).into()
}

/// A length as the protocol counts it; no slice is longer than a `u64` says.
pub(crate) fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use strongroom_wire::{ErrorCode, Protect, Run};

    const ID: RequestId = RequestId([9; 16]);

    fn run() -> Answer {
        let call = Call::Run(Run { job: "j".into(), ..Run::default() });
        Answer::to(&Request { id: ID, deadline_ms: None, call })
    }

    fn status() -> Answer {
        Answer::to(&Request { id: ID, deadline_ms: None, call: Call::Status {} })
    }

    fn response(id: RequestId, outcome: Outcome) -> Vec<u8> {
        Response { id, outcome }.encode().unwrap()
    }

    fn accepted() -> Vec<u8> {
        response(ID, Outcome::Run { protect: Protect::None })
    }

    fn end(bytes: u64) -> Vec<u8> {
        Trailer { bytes, ..Trailer::default() }.encode().unwrap()
    }

    fn refusal(answer: &mut Answer, event: Event<'_>) -> ProtocolError {
        match answer.take(event) {
            Err(Error::Protocol(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_whole_answer_passes_in_order() {
        let mut answer = run();
        let outcome = Outcome::Run { protect: Protect::None };
        let (head, tail) = (accepted(), end(3));
        assert_eq!(
            answer.take(Event::Control(FrameKind::Response, &head)).unwrap(),
            Part::Outcome(outcome)
        );
        assert_eq!(answer.take(Event::Data(b"ab")).unwrap(), Part::Data(b"ab"));
        assert_eq!(answer.take(Event::Data(b"c")).unwrap(), Part::Data(b"c"));
        let trailer = Trailer { bytes: 3, ..Trailer::default() };
        assert_eq!(answer.take(Event::Control(FrameKind::End, &tail)).unwrap(), Part::End(trailer));
    }

    #[test]
    fn an_answer_to_another_request_or_call_is_refused() {
        let other = response(RequestId([8; 16]), Outcome::Run { protect: Protect::None });
        let event = Event::Control(FrameKind::Response, &other);
        assert_eq!(refusal(&mut run(), event), ProtocolError::OtherRequest);
        let event = accepted();
        let event = Event::Control(FrameKind::Response, &event);
        assert_eq!(refusal(&mut status(), event), ProtocolError::OtherCall);
    }

    #[test]
    fn a_body_where_none_belongs_is_refused() {
        assert_eq!(refusal(&mut run(), Event::Data(b"x")), ProtocolError::Unexpected("DATA"));
        let mut answer = Answer { id: ID, asked: Asked::Credentials, state: State::Outcome };
        let head = response(ID, Outcome::Credentials {});
        answer.take(Event::Control(FrameKind::Response, &head)).unwrap();
        assert_eq!(refusal(&mut answer, Event::Data(b"x")), ProtocolError::Unexpected("DATA"));
    }

    #[test]
    fn an_end_that_counts_other_bytes_is_refused() {
        for announced in [0, 1, 3, u64::MAX] {
            let mut answer = run();
            answer.take(Event::Control(FrameKind::Response, &accepted())).unwrap();
            answer.take(Event::Data(b"ab")).unwrap();
            let tail = end(announced);
            assert_eq!(
                refusal(&mut answer, Event::Control(FrameKind::End, &tail)),
                ProtocolError::ByteCount { announced, received: 2 }
            );
        }
    }

    #[test]
    fn an_error_after_data_ends_the_answer_for_good() {
        let mut answer = run();
        answer.take(Event::Control(FrameKind::Response, &accepted())).unwrap();
        answer.take(Event::Data(b"ab")).unwrap();
        let body = ErrorBody::new(ErrorCode::DecryptFailed, "no").encode().unwrap();
        let failed = answer.take(Event::Control(FrameKind::Error, &body));
        assert!(matches!(failed, Err(Error::Service(b)) if b.code == ErrorCode::DecryptFailed));
        refusal(&mut answer, Event::Control(FrameKind::End, &end(2)));
        refusal(&mut answer, Event::Data(b"x"));
    }

    proptest! {
        /// Whatever comes in whatever order, the answer ends whole at most once,
        /// and only after a response and with the right count.
        #[test]
        fn no_order_of_events_makes_a_whole_out_of_parts(
            events in prop::collection::vec((0_u8..6, 0_u64..4), 0..8),
        ) {
            let mut answer = run();
            let (mut begun, mut received, mut whole, mut dead) = (false, 0, 0, false);
            for (kind, n) in events {
                let body = vec![0; usize::try_from(n).unwrap()];
                let (head, tail) = (accepted(), end(n));
                let event = match kind {
                    0 => Event::Control(FrameKind::Response, &head),
                    1 | 2 => Event::Data(&body),
                    3 => Event::Control(FrameKind::End, &tail),
                    4 => Event::Control(FrameKind::Error, b"\x00"),
                    _ => Event::Control(FrameKind::Request, b"\xa0"),
                };
                match answer.take(event) {
                    Ok(Part::Outcome(_)) => { prop_assert!(!begun && !dead); begun = true; }
                    Ok(Part::Data(bytes)) => { prop_assert!(begun && !dead); received += len(bytes); }
                    Ok(Part::End(trailer)) => {
                        prop_assert!(begun && !dead);
                        prop_assert_eq!(trailer.bytes, received);
                        whole += 1;
                        dead = true;
                    }
                    Err(_) => dead = true,
                }
            }
            prop_assert!(whole <= 1);
        }
    }
}
