//! What a consumer has to work with.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use asgiref::{ChannelLayer, ChannelLayerExt as _, ChannelName, GroupName, Message, message};

use crate::channel::{BufferedChannel, BufferedGroup, Channel, Group};
use crate::error::{Error, Result};
use crate::http::Streams;
use crate::layers::ChannelLayers;
use crate::params::RouteParams;
use crate::pending::{Held, Pending, Target};

/// The key under which a worker counts how often a message was put off.
pub(crate) const RETRIES_KEY: &str = "__retries__";

/// The message a consumer is called for, and what it may do about it.
///
/// # Sends are held until the consumer ends
///
/// [`reply`](Self::reply), [`send`](Self::send) and the `send` of a [`channel`](Self::channel) or
/// [`group`](Self::group) only hold the message; all of them are sent, in order, when the consumer
/// has ended, even if it failed. So a consumer's own effects (in a database, in a session) are
/// there before anyone acts on its messages. The methods named `…_immediately` do not wait.
/// Joining and leaving a group never waits.
///
/// A clone is another handle to the same call. One that outlives the consumer, in a task it
/// spawned, can no longer hold messages: only `…_immediately` works there.
///
/// ```
/// use asgiref::message;
/// use channels::{Context, Outcome};
///
/// async fn ws_message(cx: Context) -> Outcome {
///     let text = cx.message().text("text")?.clone();
///     cx.group("chat")?.send(message! { "text" => text });
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Context {
    call: Arc<Call>,
}

/// One call of a consumer.
struct Call {
    origin: Arc<Origin>,
    channel: ChannelName,
    message: Message,
    reply_channel: OnceLock<Option<ChannelName>>,
    params: RouteParams,
    /// The call this one was derived from; it holds the sends of both.
    root: Option<Context>,
    state: Mutex<State>,
}

/// Where messages come from: the same for all calls of a worker.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) alias: String,
    pub(crate) layer: Arc<dyn ChannelLayer>,
    pub(crate) layers: ChannelLayers,
    pub(crate) message_retries: u64,
    /// The HTTP responses being streamed on `layer`.
    pub(crate) streams: Arc<Streams>,
}

#[derive(Default)]
struct State {
    pending: Pending,
    answer: Answer,
    /// The consumer has ended; nothing can be held any more.
    ended: bool,
    /// Something was to be replied although there is no reply channel.
    lost_reply: bool,
    attached: http::Extensions,
}

/// How far the message has been answered on its reply channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Answer {
    #[default]
    None,
    /// Something was sent that announces more.
    Begun,
    Complete,
    /// The consumer said that somebody else will answer.
    Elsewhere,
}

/// What is left of a call when its consumer has ended.
#[derive(Debug)]
pub(crate) struct Remains {
    pub(crate) pending: Pending,
    pub(crate) answer: Answer,
    pub(crate) lost_reply: bool,
}

impl Context {
    pub(crate) fn new(
        origin: Arc<Origin>,
        channel: ChannelName,
        message: Message,
        params: RouteParams,
    ) -> Self {
        Self {
            call: Arc::new(Call {
                origin,
                channel,
                message,
                reply_channel: OnceLock::new(),
                params,
                root: None,
                state: Mutex::default(),
            }),
        }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.call.message
    }

    /// The channel the message came on.
    #[must_use]
    pub fn channel_name(&self) -> &ChannelName {
        &self.call.channel
    }

    /// What the route captured from the message.
    #[must_use]
    pub fn params(&self) -> &RouteParams {
        &self.call.params
    }

    /// The channel that answers go to: the HTTP request or WebSocket the message came from.
    ///
    /// # Errors
    ///
    /// [`Error::NoReplyChannel`] if the message names none.
    pub fn reply_channel(&self) -> Result<&ChannelName> {
        self.known_reply_channel()
            .ok_or_else(|| Error::NoReplyChannel {
                channel: self.call.channel.clone(),
            })
    }

    /// How often this message was put off with
    /// [`ConsumerError::ConsumeLater`](crate::ConsumerError::ConsumeLater).
    #[must_use]
    pub fn retries(&self) -> u64 {
        retries(&self.call.message)
    }

    /// Whether the message is dropped if it is put off once more.
    #[doc(alias = "__doomed__")]
    #[must_use]
    pub fn is_last_attempt(&self) -> bool {
        self.retries() >= self.call.origin.message_retries
    }

    /// The channel layer the message came on.
    #[must_use]
    pub fn layer(&self) -> &Arc<dyn ChannelLayer> {
        &self.call.origin.layer
    }

    /// The alias of that layer.
    #[must_use]
    pub fn alias(&self) -> &str {
        &self.call.origin.alias
    }

    /// All channel layers of the program.
    #[must_use]
    pub fn layers(&self) -> &ChannelLayers {
        &self.call.origin.layers
    }

    // ---- Held until the consumer ends

    /// Answers with `message`. If the message being consumed names no reply channel, the consumer
    /// counts as failed.
    pub fn reply(&self, message: impl Into<Message>) {
        match self.known_reply_channel() {
            Some(channel) => {
                let target = channel.clone().into();
                self.hold_on(None, target, message.into());
            }
            None => self.root_state().lost_reply = true,
        }
    }

    /// Accepts the WebSocket. A consumer of `websocket.connect` that neither accepts, nor closes,
    /// nor replies, nor calls [`answer_later`](Self::answer_later) accepts by returning without
    /// an error.
    ///
    /// To choose a subprotocol, [reply](Self::reply) with a
    /// [`websocket::Reply`](asgiref::protocol::websocket::Reply) that accepts and names it.
    pub fn accept(&self) {
        self.reply(message! { "accept" => true });
    }

    /// Closes the WebSocket with `code`; one that is not accepted yet is rejected.
    pub fn close(&self, code: u16) {
        self.reply(message! { "close" => code });
    }

    /// Says that another consumer or program answers this message: a `websocket.connect` is then
    /// not accepted because this consumer succeeds, nor is an `http.request` answered because it
    /// fails. The protocol server's time limits still hold.
    pub fn answer_later(&self) {
        self.root_state().answer = Answer::Elsewhere;
    }

    /// Sends `message` to `channel` of the message's own layer.
    pub fn send(&self, channel: &ChannelName, message: impl Into<Message>) {
        self.hold_on(None, channel.clone().into(), message.into());
    }

    /// Sends `message` to every member of `group` of the message's own layer.
    pub fn send_group(&self, group: &GroupName, message: impl Into<Message>) {
        self.hold_on(None, group.clone().into(), message.into());
    }

    // ---- At once

    /// Answers with `message` now, before anything that is held.
    ///
    /// # Errors
    ///
    /// [`Error::NoReplyChannel`], and as [`ChannelLayer::send`].
    pub async fn reply_immediately(&self, message: impl Into<Message>) -> Result<()> {
        self.send_immediately(self.reply_channel()?, message).await
    }

    /// Answers with `message` now, and waits up to `limit` if the reply channel is full: for a
    /// long answer that is made bit by bit.
    ///
    /// # Errors
    ///
    /// As [`reply_immediately`](Self::reply_immediately).
    pub async fn reply_within(&self, limit: Duration, message: impl Into<Message>) -> Result<()> {
        let (channel, message) = (self.reply_channel()?, message.into());
        self.note_reply(channel, &message);
        Ok(self.layer().send_within(channel, message, limit).await?)
    }

    /// Sends `message` to `channel` of the message's own layer now, before anything that is held.
    ///
    /// # Errors
    ///
    /// As [`ChannelLayer::send`].
    pub async fn send_immediately(
        &self,
        channel: &ChannelName,
        message: impl Into<Message>,
    ) -> Result<()> {
        let message = message.into();
        self.note_reply(channel, &message);
        Ok(self.layer().send(channel, message).await?)
    }

    // ---- Channels and groups

    /// A channel of the message's own layer.
    ///
    /// # Errors
    ///
    /// [`asgiref::Error::InvalidName`].
    pub fn channel<N>(&self, name: N) -> Result<BufferedChannel<'_>>
    where
        N: TryInto<ChannelName, Error: Into<asgiref::Error>>,
    {
        let channel = Channel::new(name, Arc::clone(self.layer()))?;
        Ok(BufferedChannel::new(self, channel))
    }

    /// A channel of the layer with this alias.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownAlias`], [`asgiref::Error::InvalidName`].
    pub fn channel_on<N>(&self, alias: &str, name: N) -> Result<BufferedChannel<'_>>
    where
        N: TryInto<ChannelName, Error: Into<asgiref::Error>>,
    {
        let channel = self.layers().channel_on(alias, name)?;
        Ok(BufferedChannel::new(self, channel))
    }

    /// A group of the message's own layer.
    ///
    /// # Errors
    ///
    /// [`asgiref::Error::InvalidName`].
    pub fn group<N>(&self, name: N) -> Result<BufferedGroup<'_>>
    where
        N: TryInto<GroupName, Error: Into<asgiref::Error>>,
    {
        let group = Group::new(name, Arc::clone(self.layer()))?;
        Ok(BufferedGroup::new(self, group))
    }

    /// A group of the layer with this alias.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownAlias`], [`asgiref::Error::InvalidName`].
    pub fn group_on<N>(&self, alias: &str, name: N) -> Result<BufferedGroup<'_>>
    where
        N: TryInto<GroupName, Error: Into<asgiref::Error>>,
    {
        let group = self.layers().group_on(alias, name)?;
        Ok(BufferedGroup::new(self, group))
    }

    // ---- For middleware

    /// Attaches a value to this call, for consumers and middleware further in; returns the value
    /// of the same type that was attached before.
    pub fn attach<T: Clone + Send + Sync + 'static>(&self, value: T) -> Option<T> {
        self.root_state().attached.insert(value)
    }

    /// The value of this type that was attached to the call.
    #[must_use]
    pub fn attached<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.root_state().attached.get().cloned()
    }

    /// The same call with another message in place of the one that came: what is replied and held
    /// still belongs to the original call.
    #[must_use]
    pub fn with_message(&self, message: Message) -> Self {
        let root = self.root();
        Self {
            call: Arc::new(Call {
                origin: Arc::clone(&self.call.origin),
                channel: self.call.channel.clone(),
                message,
                reply_channel: OnceLock::new(),
                params: self.call.params.clone(),
                root: Some(root.clone()),
                state: Mutex::default(),
            }),
        }
    }

    /// Holds a message for a layer that may be another one than the call's own.
    pub(crate) fn hold(&self, layer: &Arc<dyn ChannelLayer>, target: Target, message: Message) {
        let foreign = (!Arc::ptr_eq(layer, self.layer())).then(|| Arc::clone(layer));
        self.hold_on(foreign, target, message);
    }

    /// Keeps account of how far the message is answered.
    pub(crate) fn note_reply(&self, channel: &ChannelName, message: &Message) {
        if self.known_reply_channel() == Some(channel) {
            self.root_state().answer = Answer::by(message);
        }
    }

    /// Ends the call: takes what it held and lets it hold nothing more.
    pub(crate) fn end(&self) -> Remains {
        let mut state = self.root_state();
        state.ended = true;
        Remains {
            pending: std::mem::take(&mut state.pending),
            answer: state.answer,
            lost_reply: state.lost_reply,
        }
    }

    /// The HTTP responses being streamed by the worker.
    pub(crate) fn streams(&self) -> &Arc<Streams> {
        &self.call.origin.streams
    }

    pub(crate) fn known_reply_channel(&self) -> Option<&ChannelName> {
        self.call
            .reply_channel
            .get_or_init(|| {
                let channel = self.call.message.opt_channel("reply_channel");
                channel.ok().flatten()
            })
            .as_ref()
    }

    fn hold_on(&self, layer: Option<Arc<dyn ChannelLayer>>, target: Target, message: Message) {
        let mut state = self.root_state();
        if state.ended {
            drop(state);
            tracing::error!(
                channel = self.call.channel.as_str(),
                target_name = target.as_str(),
                "a message was dropped because the consumer had ended; \
                 a task that goes on after it has to send immediately",
            );
            return;
        }
        if let Target::Channel(channel) = &target
            && self.known_reply_channel() == Some(channel)
        {
            state.answer = Answer::by(&message);
        }
        state.pending.push(Held {
            target,
            message,
            layer,
        });
    }

    fn root(&self) -> &Self {
        self.call.root.as_ref().unwrap_or(self)
    }

    fn root_state(&self) -> MutexGuard<'_, State> {
        let state = &self.root().call.state;
        // A panic while it was locked left nothing half done.
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    fn by(message: &Message) -> Self {
        if matches!(message.opt_bool("more_content"), Ok(Some(true))) {
            Self::Begun
        } else {
            Self::Complete
        }
    }
}

/// How often `message` was put off; a count that is not one counts as none.
pub(crate) fn retries(message: &Message) -> u64 {
    match message.opt_int(RETRIES_KEY) {
        Ok(Some(count)) => u64::try_from(count).unwrap_or(0),
        Ok(None) | Err(_) => 0,
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("channel", &self.call.channel)
            .field("params", &self.call.params)
            .field("layer", &self.call.origin.alias)
            .finish_non_exhaustive()
    }
}
