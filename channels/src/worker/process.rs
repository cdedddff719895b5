//! What happens to one message.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use asgiref::protocol::{http, websocket};
use asgiref::{ChannelName, Message, message};
use futures_util::FutureExt as _;

use crate::context::{Answer, Context, RETRIES_KEY, Remains, retries};
use crate::error::{ConsumerError, Error, Outcome};
use crate::pending::{Held, Pending};
use crate::routing::Endpoint;
use crate::worker::Shared;
use crate::worker::report::{Causes, ErrorReport};
use crate::worker::retry::Later;
use crate::worker::settings::guarded;

/// The close code for internal errors.
const INTERNAL_ERROR: u16 = 1011;

/// Routes a message, calls its consumer and sends what that held; returns the message if it is
/// to be consumed later.
pub(super) async fn process(
    shared: &Shared,
    channel: ChannelName,
    message: Message,
) -> Option<Later> {
    shared.counters.begin();
    let later = route(shared, channel, message).await;
    shared.counters.finish();
    later
}

async fn route(shared: &Shared, channel: ChannelName, message: Message) -> Option<Later> {
    if let Some(on_message) = &shared.settings.on_message {
        guarded("on_message", || on_message(&channel, &message));
    }
    // Whatever the application does about it, nobody streams to a client that is gone.
    if channel == http::DISCONNECT {
        shared.origin.streams.disconnected(&message).await;
    }
    let Some(matched) = shared.table.find(&channel, &message) else {
        refuse(shared, &channel, &message).await;
        return None;
    };
    tracing::debug!(
        channel = channel.as_str(),
        consumer = matched.endpoint.name(),
        "dispatching message"
    );
    let cx = Context::new(Arc::clone(&shared.origin), channel, message, matched.params);
    let outcome = call(shared, matched.endpoint, &cx).await;
    let mut remains = cx.end();
    let outcome = match outcome {
        Ok(()) if remains.lost_reply => Err(ConsumerError::from(Error::NoReplyChannel {
            channel: cx.channel_name().clone(),
        })),
        outcome => outcome,
    };
    let mut call = Ended {
        shared,
        cx: &cx,
        consumer: matched.endpoint.name(),
        remains: &mut remains,
    };
    let later = match outcome {
        Ok(()) => call.succeeded(),
        Err(error) => call.failed(&error),
    };
    send_held(shared, remains.pending).await;
    later
}

/// Says that there is no route for a message, to a client that waits for an answer as well.
async fn refuse(shared: &Shared, channel: &ChannelName, message: &Message) {
    shared.counters.unroutable.add(1);
    tracing::error!(
        channel = channel.as_str(),
        "no route takes this message; check the routing"
    );
    let answer = if *channel == http::REQUEST {
        plain_response(404, "Not Found")
    } else if *channel == websocket::CONNECT {
        websocket::Reply::reject().into()
    } else {
        return;
    };
    if let Ok(Some(reply_channel)) = message.opt_channel("reply_channel") {
        let mut pending = Pending::default();
        pending.push(Held {
            target: reply_channel.into(),
            message: answer,
            layer: None,
        });
        send_held(shared, pending).await;
    }
}

async fn send_held(shared: &Shared, pending: Pending) {
    let limit = shared.settings.send_timeout;
    let dropped = pending.flush(&*shared.origin.layer, limit).await;
    shared.counters.dropped_sends.add(dropped);
}

fn plain_response(status: u16, reason: &'static str) -> Message {
    let mut response = http::Response::new(status, reason);
    response.headers.push("content-type", "text/plain");
    response.into()
}

/// Calls the consumer; a panic becomes an error.
async fn call(shared: &Shared, endpoint: &dyn Endpoint, cx: &Context) -> Outcome {
    // The call itself is inside as well, because a consumer may panic before its first await.
    let consumer = async { endpoint.call(cx.clone()).await };
    let consumer = AssertUnwindSafe(consumer).catch_unwind();
    let result = match shared.settings.consumer_timeout {
        None => consumer.await,
        Some(limit) => match tokio::time::timeout(limit, consumer).await {
            Ok(result) => result,
            Err(_) => return Err(Error::TimedOut { limit }.into()),
        },
    };
    result.unwrap_or_else(|panic| {
        let message = panic_message(&*panic);
        Err(Error::Panicked { message }.into())
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "the panic has no text".to_owned()
    }
}

/// A call whose consumer has ended and whose messages are not sent yet.
struct Ended<'a> {
    shared: &'a Shared,
    cx: &'a Context,
    consumer: &'static str,
    remains: &'a mut Remains,
}

impl Ended<'_> {
    /// Accepts a WebSocket whose consumer found nothing wrong with it. Goes before everything the
    /// consumer sent, some of which may be meant for this very socket.
    fn succeeded(&mut self) -> Option<Later> {
        if self.is_on(&websocket::CONNECT)
            && self.remains.answer == Answer::None
            && let Some(held) = self.reply(message! { "accept" => true })
        {
            self.remains.pending.push_front(held);
        }
        None
    }

    fn failed(&mut self, error: &ConsumerError) -> Option<Later> {
        let is_websocket = !self.is_on(&http::REQUEST);
        match error {
            ConsumerError::ConsumeLater => return self.consume_later(),
            ConsumerError::DenyConnection if self.is_on(&websocket::CONNECT) => {
                self.answer(message! { "close" => true });
            }
            ConsumerError::CloseConnection { code } if is_websocket => {
                self.answer(message! { "close" => *code });
            }
            ConsumerError::InvalidMessage(_) => {
                tracing::warn!(
                    channel = self.cx.channel_name().as_str(),
                    consumer = self.consumer,
                    error = %Causes(error),
                    "the consumer could not take the message",
                );
                self.report(error);
                self.answer_for_failure(400, "Bad Request");
            }
            ConsumerError::DenyConnection
            | ConsumerError::CloseConnection { .. }
            | ConsumerError::Failed(_) => {
                tracing::error!(
                    channel = self.cx.channel_name().as_str(),
                    consumer = self.consumer,
                    error = %Causes(error),
                    "error processing message",
                );
                self.report(error);
                self.answer_for_failure(500, "Internal Server Error");
            }
        }
        None
    }

    fn consume_later(&mut self) -> Option<Later> {
        let attempt = retries(self.cx.message()).saturating_add(1);
        if attempt <= self.shared.settings.message_retries {
            let mut message = self.cx.message().clone();
            let count = i64::try_from(attempt).unwrap_or(i64::MAX);
            message.insert(RETRIES_KEY, count);
            return Some(Later {
                channel: self.cx.channel_name().clone(),
                message,
                attempt,
            });
        }
        self.shared.counters.dead.add(1);
        tracing::warn!(
            channel = self.cx.channel_name().as_str(),
            consumer = self.consumer,
            attempts = attempt,
            "exceeded number of retries for message, which is dropped",
        );
        self.tell(&ConsumerError::ConsumeLater);
        self.answer_for_failure(503, "Service Unavailable");
        None
    }

    /// Answers in the place of a consumer that failed to.
    fn answer_for_failure(&mut self, status: u16, reason: &'static str) {
        let answer = self.remains.answer;
        if answer == Answer::Elsewhere {
            return;
        }
        if self.is_on(&http::REQUEST) {
            match answer {
                Answer::None => self.answer(plain_response(status, reason)),
                Answer::Begun => self.answer(http::Response::aborted().into()),
                Answer::Complete | Answer::Elsewhere => {}
            }
        } else if self.is_on(&websocket::CONNECT) {
            if answer == Answer::None {
                self.answer(message! { "close" => true });
            } else {
                self.answer(message! { "close" => INTERNAL_ERROR });
            }
        } else if self.is_on(&websocket::RECEIVE)
            && let Some(code) = self.shared.settings.close_on_error
        {
            self.answer(message! { "close" => code });
        }
    }

    fn answer(&mut self, message: Message) {
        if let Some(held) = self.reply(message) {
            self.remains.pending.push(held);
        }
    }

    fn reply(&self, message: Message) -> Option<Held> {
        let channel = self.cx.known_reply_channel()?;
        Some(Held {
            target: channel.clone().into(),
            message,
            layer: None,
        })
    }

    fn report(&self, error: &ConsumerError) {
        self.shared.counters.errors.add(1);
        self.tell(error);
    }

    fn tell(&self, error: &ConsumerError) {
        if let Some(on_error) = &self.shared.settings.on_error {
            let report = ErrorReport {
                channel: self.cx.channel_name(),
                consumer: self.consumer,
                message: self.cx.message(),
                error,
            };
            guarded("on_error", || on_error(&report));
        }
    }

    fn is_on(&self, channel: &ChannelName) -> bool {
        self.cx.channel_name() == channel
    }
}
