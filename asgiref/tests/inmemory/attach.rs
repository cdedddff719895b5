//! Recipients: who takes messages as they are sent.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use asgiref::{
    ChannelLayer, ChannelName, Groups, InMemoryChannelLayer, Message, Recipient, Statistics,
};

use crate::{capacity, channel, drain, group, number};

/// Takes messages while it is open.
#[derive(Default)]
struct Desk {
    is_closed: AtomicBool,
    taken: Mutex<Vec<(String, i64)>>,
    woken: Arc<Count>,
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Desk {
    fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    fn open(&self) {
        self.is_closed.store(false, Ordering::SeqCst);
    }

    fn taken(&self) -> Vec<(String, i64)> {
        std::mem::take(&mut self.taken.lock().unwrap())
    }

    fn numbers(&self) -> Vec<i64> {
        self.taken().into_iter().map(|(_, number)| number).collect()
    }
}

impl Recipient for Desk {
    fn take(&self, channel: &ChannelName, message: Message) -> Result<Option<Waker>, Message> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(message);
        }
        let number = message.int("number").unwrap();
        let mut taken = self.taken.lock().unwrap();
        taken.push((channel.as_str().to_owned(), number));
        Ok(Some(Arc::clone(&self.woken).into()))
    }
}

#[tokio::test]
async fn a_recipient_gets_what_is_sent_to_its_channels_under_the_full_name() {
    let layer = capacity(1);
    let desk = Arc::new(Desk::default());
    let channels = [channel("work"), channel("process!")];
    let attachment = layer.attach(&channels, desk.clone());
    assert!(attachment.is_some());
    for (name, sent) in [
        ("work", 1),
        ("process!a", 2),
        ("other", 3),
        ("process!b", 4),
    ] {
        layer.send(&channel(name), number(sent)).await.unwrap();
    }
    let taken = [("work", 1), ("process!a", 2), ("process!b", 4)];
    assert_eq!(
        desk.taken(),
        taken.map(|(name, sent)| (name.to_owned(), sent))
    );
    assert_eq!(desk.woken.0.load(Ordering::SeqCst), 3);
    assert_eq!(drain(&layer, &[channel("other")]).await, [3]);
    assert_eq!(drain(&layer, &channels).await, []);
    let figures = layer.channel_statistics(&channels[1]).await.unwrap();
    assert_eq!((figures.messages_count, figures.messages_pending), (2, 0));
}

#[tokio::test]
async fn members_of_a_group_are_reached_through_their_recipient() {
    let layer = capacity(1);
    let desk = Arc::new(Desk::default());
    let attachment = layer.attach(&[channel("process!")], desk.clone());
    for member in ["process!a", "process!b", "elsewhere!c"] {
        layer
            .group_add(&group("g"), &channel(member))
            .await
            .unwrap();
    }
    layer.send_group(&group("g"), number(1)).await.unwrap();
    let mut taken = desk.taken();
    taken.sort();
    assert_eq!(
        taken,
        ["process!a", "process!b"].map(|name| (name.to_owned(), 1))
    );
    assert_eq!(drain(&layer, &[channel("elsewhere!")]).await, [1]);
    drop(attachment);
    layer.send_group(&group("g"), number(2)).await.unwrap();
    assert_eq!(desk.taken(), []);
    assert_eq!(drain(&layer, &[channel("process!")]).await, [2]);
}

#[tokio::test]
async fn what_a_recipient_does_not_take_is_kept_and_nothing_overtakes_it() {
    let layer = capacity(10);
    let desk = Arc::new(Desk::default());
    let channels = [channel("work")];
    layer.send(&channels[0], number(1)).await.unwrap();
    let _attachment = layer.attach(&channels, desk.clone());
    layer.send(&channels[0], number(2)).await.unwrap();
    assert_eq!(desk.numbers(), [], "an older one waits");
    assert_eq!(drain(&layer, &channels).await, [1, 2]);
    layer.send(&channels[0], number(3)).await.unwrap();
    desk.close();
    layer.send(&channels[0], number(4)).await.unwrap();
    desk.open();
    layer.send(&channels[0], number(5)).await.unwrap();
    assert_eq!(desk.numbers(), [3]);
    assert_eq!(drain(&layer, &channels).await, [4, 5]);
    layer.send(&channels[0], number(6)).await.unwrap();
    assert_eq!(desk.numbers(), [6]);
}

#[tokio::test]
async fn what_is_not_taken_is_limited_by_the_capacity_and_wakes_a_reader() {
    let layer = capacity(1);
    let desk = Arc::new(Desk::default());
    desk.close();
    let channels = [channel("work")];
    let _attachment = layer.attach(&channels, desk);
    let reader = tokio::spawn({
        let (layer, channels) = (layer.clone(), channels.clone());
        async move { layer.receive(&channels).await }
    });
    tokio::task::yield_now().await;
    layer.send(&channels[0], number(1)).await.unwrap();
    let (_, message) = reader.await.unwrap().unwrap();
    assert_eq!(message.int("number").unwrap(), 1);
    layer.send(&channels[0], number(2)).await.unwrap();
    let full = layer.send(&channels[0], number(3)).await.unwrap_err();
    assert!(full.is_channel_full());
}

#[tokio::test]
async fn a_message_is_offered_to_one_recipient_after_the_other() {
    let layer: Arc<dyn ChannelLayer> = Arc::new(InMemoryChannelLayer::new());
    let desks = [(); 3].map(|()| Arc::new(Desk::default()));
    let channels = [channel("work")];
    let attachments = desks
        .each_ref()
        .map(|desk| layer.attach(&channels, desk.clone() as _).unwrap());
    desks[0].close();
    desks[2].close();
    layer.send(&channels[0], number(1)).await.unwrap();
    assert_eq!(desks[1].numbers(), [1]);
    desks[1].close();
    desks[2].open();
    layer.send(&channels[0], number(2)).await.unwrap();
    assert_eq!(desks[2].numbers(), [2]);
    drop(attachments);
    layer.send(&channels[0], number(3)).await.unwrap();
    assert_eq!(
        layer
            .receive(&channels)
            .await
            .unwrap()
            .1
            .int("number")
            .unwrap(),
        3
    );
}

#[tokio::test]
async fn names_that_cannot_be_received_from_have_no_recipient() {
    let layer = InMemoryChannelLayer::new();
    let attachment = layer.attach(&[channel("process!a")], Arc::new(Desk::default()));
    assert!(attachment.is_none());
}
