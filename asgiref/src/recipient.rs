use std::fmt;
use std::task::Waker;

use crate::message::Message;
use crate::name::ChannelName;

/// Takes messages the moment they are sent; see
/// [`ChannelLayer::attach`](crate::ChannelLayer::attach).
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use std::task::Waker;
/// use asgiref::{ChannelLayer as _, ChannelName, InMemoryChannelLayer, Message, Recipient, message};
///
/// #[derive(Default)]
/// struct Inbox(Mutex<Vec<(ChannelName, Message)>>);
///
/// impl Recipient for Inbox {
///     fn take(&self, channel: &ChannelName, message: Message) -> Result<Option<Waker>, Message> {
///         self.0.lock().unwrap().push((channel.clone(), message));
///         Ok(None)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> asgiref::Result<()> {
/// let layer = InMemoryChannelLayer::new();
/// let inbox = Arc::new(Inbox::default());
/// let attachment = layer.attach(&[ChannelName::new("inbox.4f!")?], inbox.clone());
/// assert!(attachment.is_some());
///
/// layer.send(&ChannelName::new("inbox.4f!ann")?, message! { "text" => "Hello" }).await?;
/// assert_eq!(inbox.0.lock().unwrap()[0].0, "inbox.4f!ann");
/// # Ok(())
/// # }
/// ```
pub trait Recipient: Send + Sync + 'static {
    /// Takes a message that was sent to `channel`, a full name, and says which task is to be
    /// woken for it, if any.
    ///
    /// It is called while the layer is locked: it must be quick, neither wake anybody nor use the
    /// layer, and not panic. Messages of one writer come in the order they were sent; but one that
    /// was declined, and received, may still be on its way from there when a later one comes.
    ///
    /// # Errors
    ///
    /// The message, if the recipient does not take it.
    fn take(&self, channel: &ChannelName, message: Message) -> Result<Option<Waker>, Message>;
}

/// A [recipient](Recipient) is offered messages as long as this is there.
#[must_use = "the recipient is detached when this is dropped"]
pub struct Attachment {
    detach: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Attachment {
    /// For layers: `detach` is called once, when the attachment is dropped.
    pub fn new(detach: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self {
            detach: Some(Box::new(detach)),
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if let Some(detach) = self.detach.take() {
            detach();
        }
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment").finish_non_exhaustive()
    }
}
