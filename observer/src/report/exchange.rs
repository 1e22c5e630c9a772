//! Questions and their answers, put together from a flow's messages: HTTP requests with responses, DNS likewise.

use crate::observation::{Basis, Flow, Observation};
use crate::protocol::{dns, http1};
use crate::source::FrameNumber;

/// An HTTP request with its response; one of them may be missing.
#[derive(Clone, Copy, Debug)]
pub struct HttpExchange<'a> {
    /// The request's frame, or else the response's.
    pub frame: FrameNumber,
    /// How it was read.
    pub basis: Basis,
    /// The request.
    pub request: Option<&'a http1::Request>,
    /// The final response: of a request's several (RFC 9110 §15.2) the last.
    pub response: Option<(FrameNumber, &'a http1::Response)>,
}

/// The HTTP exchanges of a flow, in the order of their first message.
#[must_use]
pub fn http(flow: &Flow) -> Vec<HttpExchange<'_>> {
    let mut exchanges: Vec<HttpExchange<'_>> = Vec::new();
    for (Observation { frame, basis, .. }, fact) in flow.http() {
        match fact {
            http1::Fact::Request(request) => {
                exchanges.push(HttpExchange {
                    frame: *frame,
                    basis: *basis,
                    request: Some(request),
                    response: None,
                });
            }
            http1::Fact::Response(response) => {
                // Answers come soon after their questions: the search from the end is short.
                let asked = response.index.and_then(|index| {
                    exchanges
                        .iter_mut()
                        .rev()
                        .find(|exchange| exchange.request.is_some_and(|request| request.index == index))
                });
                let seen = Some((*frame, response));
                match asked {
                    Some(exchange) => exchange.response = seen,
                    None => exchanges.push(HttpExchange {
                        frame: *frame,
                        basis: *basis,
                        request: None,
                        response: seen,
                    }),
                }
            }
        }
    }
    exchanges
}

/// A DNS question with its answer; one of them may be missing.
#[derive(Clone, Copy, Debug)]
pub struct DnsExchange<'a> {
    /// The query's frame, or else the response's.
    pub frame: FrameNumber,
    id: u16,
    /// What was asked.
    pub question: Option<&'a dns::Question>,
    /// The response. Its answers belong to its first question; further ones, which real resolvers do not send, have
    /// none of their own.
    pub response: Option<(FrameNumber, &'a dns::Fact)>,
    /// Whether this exchange's question is the response's first.
    pub first: bool,
}

impl<'a> DnsExchange<'a> {
    /// The records that answer the question.
    #[must_use]
    pub fn answers(&self) -> &'a [dns::Answer] {
        match self.response {
            Some((_, message)) if self.first => &message.answers,
            _ => &[],
        }
    }
}

/// The DNS exchanges of a flow, in the order of their first message: one for each question.
#[must_use]
pub fn dns(flow: &Flow) -> Vec<DnsExchange<'_>> {
    let mut exchanges: Vec<DnsExchange<'_>> = Vec::new();
    for (Observation { frame, .. }, message) in flow.dns() {
        let response = message.response.then_some((*frame, message));
        let mut asked = message.questions.iter().map(Some).collect::<Vec<_>>();
        if asked.is_empty() {
            asked.push(None);
        }
        for (place, question) in asked.into_iter().enumerate() {
            let open = response.and_then(|_| {
                exchanges.iter_mut().find(|exchange| {
                    exchange.response.is_none()
                        && exchange.id == message.id
                        && (question.is_none() || exchange.question == question)
                })
            });
            let first = place == 0;
            match open {
                Some(exchange) => (exchange.response, exchange.first) = (response, first),
                None => {
                    exchanges.push(DnsExchange { frame: *frame, id: message.id, question, response, first })
                }
            }
        }
    }
    exchanges
}
