//! Responses become messages as they do in Channels for Django.
#![allow(missing_docs, reason = "tests are named for the rule they check")]

mod http_support;

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use asgiref::protocol::http::{CHUNK_SIZE, Response as ResponsePart};
use asgiref::{Bytes, Message};
use channels::http::encode_response;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use tokio::sync::mpsc;

type TestBody = UnsyncBoxBody<Bytes, io::Error>;

fn whole(content: impl Into<Bytes>) -> TestBody {
    Full::new(content.into())
        .map_err(|_| unreachable!())
        .boxed_unsync()
}

fn streaming<const N: usize>(parts: [&str; N]) -> TestBody {
    let parts = parts.map(|part| Ok(Frame::data(Bytes::from(part.to_owned()))));
    StreamBody::new(stream::iter(parts)).boxed_unsync()
}

async fn messages<B>(response: Response<B>, chunk_size: usize) -> Vec<ResponsePart>
where
    B: Body<Data = Bytes, Error: Into<asgiref::BoxError>>,
{
    encode_response(response)
        .chunk_size(chunk_size)
        .map(|message| ResponsePart::try_from(&message.expect("no error")).expect("valid"))
        .collect()
        .await
}

/// What was encoded when the recording was made. Status and headers are in the recording.
fn recorded_body(name: &str) -> TestBody {
    match name {
        "plain" => whole("Hi there!"),
        "default content type" => whole("café"),
        "chunk 30, 60 bytes" => whole("1".repeat(60)),
        "default chunk, 524289" => whole("x".repeat(524_289)),
        "default chunk, 1.2M" => whole("x".repeat(1_200_000)),
        "streaming empty" => streaming([]),
        "streaming three parts" => streaming(["a", "bé", ""]),
        "streaming part larger than chunk" => {
            streaming(["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"])
        }
        "file bytesio" => streaming(["sadfdasfsdfsadf"]),
        "cookies" | "explicit content-length" => whole("x"),
        "json" => whole(r#"{"foo": [1, 2]}"#),
        "empty 304" | "redirect" | "not modified" | "method not allowed" => whole(""),
        other => panic!("the recording has a new case, {other:?}"),
    }
}

/// Deviations from the recording, all in the headers: names are in lower case, which the
/// specification asks for; the value of `Set-Cookie` does not begin with a blank, which is an
/// oversight of the original.
#[tokio::test]
async fn recorded_responses() {
    let vectors = http_support::vectors(include_str!("vectors/ch_encode_response.json"));
    assert_eq!(vectors.len(), 16);
    for vector in vectors {
        let name = vector["name"].as_str().expect("a name");
        let chunk_size = usize::try_from(vector["chunk_size"].as_u64().expect("a size"));
        let mut expected = Vec::new();
        for message in vector["messages"].as_array().expect("messages") {
            let message = http_support::map(message.as_object().expect("a message"));
            let mut part = ResponsePart::try_from(&Message::from(message)).expect("valid");
            part.headers = part
                .headers
                .iter()
                .map(|(name, value)| {
                    let value = Bytes::copy_from_slice(value.trim_ascii_start());
                    (Bytes::from(name.to_ascii_lowercase()), value)
                })
                .collect();
            expected.push(part);
        }
        let mut response = Response::new(recorded_body(name));
        *response.status_mut() = expected[0]
            .status
            .and_then(|status| status.try_into().ok())
            .expect("a status");
        for (header, value) in &expected[0].headers {
            response.headers_mut().append(
                http::HeaderName::from_bytes(header).expect("a name"),
                http::HeaderValue::from_bytes(value).expect("a value"),
            );
        }
        let encoded = messages(response, chunk_size.expect("a small number")).await;
        assert_eq!(encoded, expected, "{name}");
    }
}

#[test]
fn recorded_chunk_lengths() {
    for vector in http_support::vectors(include_str!("vectors/ch_chunk_bytes.json")) {
        let length = usize::try_from(vector["len"].as_u64().expect("a length")).expect("small");
        let chunks: Vec<_> = encode_response(Response::new("x".repeat(length)))
            .chunk_size(30)
            .into_iter()
            .map(|message| {
                let part = ResponsePart::try_from(&message).expect("valid");
                serde_json::json!([part.content.len(), !part.more_content])
            })
            .collect();
        assert_eq!(
            serde_json::Value::from(chunks),
            vector["chunks"],
            "{length}"
        );
    }
}

#[test]
fn a_response_in_memory_can_be_looped_over() {
    let first = |message: Option<Message>| {
        let message = message.expect("a message");
        ResponsePart::try_from(&message).expect("valid")
    };
    let mut text = encode_response(Response::new("hello".to_owned())).into_iter();
    assert_eq!(first(text.next()), ResponsePart::new(200, "hello"));
    assert!(text.next().is_none());
    let mut full = encode_response(Response::new(Full::from("hello"))).into_iter();
    assert_eq!(first(full.next()), ResponsePart::new(200, "hello"));
    let mut empty = encode_response(Response::new(Empty::new())).into_iter();
    assert_eq!(first(empty.next()), ResponsePart::new(200, ""));
    assert!(empty.next().is_none());
}

#[tokio::test]
async fn a_body_of_known_small_size_makes_one_message_however_it_arrives() {
    struct Trickle(std::vec::IntoIter<u8>, bool);
    impl Body for Trickle {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.1 = !self.1;
            if self.1 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(
                self.0
                    .next()
                    .map(|byte| Ok(Frame::data(Bytes::from(vec![byte])))),
            )
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0.len() as u64)
        }
    }

    let body = Trickle(b"trickle".to_vec().into_iter(), false);
    assert_eq!(
        messages(Response::new(body), CHUNK_SIZE).await,
        [ResponsePart::new(200, "trickle")]
    );
}

#[tokio::test]
async fn a_body_larger_than_it_announced_is_cut() {
    struct Liar(Full<Bytes>);
    impl Body for Liar {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Pin::new(&mut self.0).poll_frame(cx)
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(2)
        }
    }

    let parts = messages(Response::new(Liar(Full::from("abcde"))), 3).await;
    let contents: Vec<_> = parts.iter().map(|part| &part.content[..]).collect();
    assert_eq!(contents, [b"abc".as_slice(), b"de", b""]);
    assert!(parts[1].more_content && !parts[2].more_content);
}

#[tokio::test]
async fn each_part_of_a_stream_is_sent_as_it_is_made() {
    let (parts, receiver) = mpsc::channel::<&'static str>(1);
    let body = stream::unfold(receiver, |mut receiver| async move {
        let part = receiver.recv().await?;
        Some((
            Ok::<_, Infallible>(Frame::data(Bytes::from(part))),
            receiver,
        ))
    });
    let mut messages = Box::pin(encode_response(Response::new(StreamBody::new(body))));
    let mut next = || {
        let message = messages.next().now_or_never()??.expect("no error");
        Some(ResponsePart::try_from(&message).expect("valid"))
    };

    let head = next().expect("status and headers do not wait for content");
    assert_eq!((head.status, head.more_content), (Some(200), true));
    assert!(head.content.is_empty());
    assert_eq!(next(), None, "there is no content yet");
    for part in ["one", "two"] {
        parts.try_send(part).expect("room");
        assert_eq!(next(), Some(ResponsePart::chunk(part, true)));
        assert_eq!(next(), None);
    }
    drop(parts);
    assert_eq!(next(), Some(ResponsePart::chunk("", false)));
}

#[tokio::test]
async fn trailers_are_left_out() {
    let frames = [
        Ok::<_, Infallible>(Frame::data(Bytes::from("content"))),
        Ok(Frame::trailers(http::HeaderMap::new())),
    ];
    let body = StreamBody::new(stream::iter(frames));
    let parts = messages(Response::new(body), CHUNK_SIZE).await;
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[1], ResponsePart::chunk("", false));
}

#[tokio::test]
async fn an_error_or_a_panic_of_the_body_ends_the_messages_with_an_error() {
    let failing: [fn() -> io::Error; 2] = [
        || io::Error::other("the disk is gone"),
        || panic!("the disk is on fire"),
    ];
    for (fail, report) in failing
        .into_iter()
        .zip(["the disk is gone", "the body panicked: the disk is on fire"])
    {
        let body = stream::iter([0, 1]).map(move |part| match part {
            0 => Ok(Frame::data(Bytes::from("begun"))),
            _ => Err(fail()),
        });
        let mut messages = Box::pin(encode_response(Response::new(StreamBody::new(body))));
        assert!(messages.next().await.expect("a message").is_ok());
        let error = messages
            .next()
            .await
            .expect("an item")
            .expect_err("an error");
        assert_eq!(error.to_string(), report);
        assert!(messages.next().await.is_none());
    }
}
