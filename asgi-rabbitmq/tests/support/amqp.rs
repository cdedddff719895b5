//! A plain client of the broker, for what no layer of ours does.

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ExchangeBindOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};

use super::within;

/// A connection with one AMQP channel.
#[derive(Debug)]
pub struct Client {
    amqp_channel: Channel,
    _connection: Connection,
}

/// A message as it was in its queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub body: Vec<u8>,
    pub properties: BasicProperties,
}

impl Stored {
    /// The text of the property `expiration`.
    pub fn expiration(&self) -> Option<&str> {
        let expiration = self.properties.expiration().as_ref();
        expiration.map(lapin::types::ShortString::as_str)
    }

    /// A header that holds text.
    pub fn header(&self, name: &str) -> Option<String> {
        let headers = self.properties.headers().as_ref()?;
        match headers.inner().get(name)? {
            AMQPValue::LongString(text) => Some(text.to_string()),
            other => panic!("{name} is {other:?}"),
        }
    }
}

impl Client {
    pub async fn connect(url: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default());
        let connection = within("a connection", connection).await;
        let connection = connection.expect("the broker accepts it");
        let amqp_channel = within("an AMQP channel", connection.create_channel()).await;
        Self {
            amqp_channel: amqp_channel.expect("the broker opens it"),
            _connection: connection,
        }
    }

    pub fn amqp_channel(&self) -> &Channel {
        &self.amqp_channel
    }

    /// The first message in a queue, which it leaves.
    pub async fn get(&self, queue: &str) -> Option<Stored> {
        let options = BasicGetOptions { no_ack: true };
        let got = self.amqp_channel.basic_get(queue.into(), options);
        let got = within("basic.get", got).await.expect("there is the queue");
        got.map(|message| Stored {
            body: message.delivery.data,
            properties: message.delivery.properties,
        })
    }

    /// Publishes to a queue, past all exchanges.
    pub async fn put(&self, queue: &str, body: &[u8], properties: BasicProperties) {
        self.publish("", queue, body, properties).await;
    }

    pub async fn publish(
        &self,
        exchange: &str,
        routing_key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) {
        let published = self.amqp_channel.basic_publish(
            exchange.into(),
            routing_key.into(),
            BasicPublishOptions::default(),
            body,
            properties,
        );
        let published = within("basic.publish", published).await;
        published.expect("the connection is open");
    }

    pub async fn declare_queue(&self, name: &str, arguments: FieldTable) {
        let options = QueueDeclareOptions::default();
        let declared = self
            .amqp_channel
            .queue_declare(name.into(), options, arguments);
        let declared = within("queue.declare", declared).await;
        declared.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    pub async fn delete_queue(&self, name: &str) {
        let options = QueueDeleteOptions::default();
        let deleted = self.amqp_channel.queue_delete(name.into(), options);
        let deleted = within("queue.delete", deleted).await;
        deleted.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    pub async fn declare_fanout(&self, name: &str, auto_delete: bool) {
        let options = ExchangeDeclareOptions {
            auto_delete,
            ..ExchangeDeclareOptions::default()
        };
        let declared = self.amqp_channel.exchange_declare(
            name.into(),
            ExchangeKind::Fanout,
            options,
            FieldTable::default(),
        );
        let declared = within("exchange.declare", declared).await;
        declared.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    pub async fn bind_queue(&self, exchange: &str, queue: &str) {
        let bound = self.amqp_channel.queue_bind(
            queue.into(),
            exchange.into(),
            queue.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        let bound = within("queue.bind", bound).await;
        bound.unwrap_or_else(|error| panic!("{queue}: {error}"));
    }

    pub async fn bind_exchange(&self, source: &str, destination: &str) {
        let bound = self.amqp_channel.exchange_bind(
            destination.into(),
            source.into(),
            "".into(),
            ExchangeBindOptions::default(),
            FieldTable::default(),
        );
        let bound = within("exchange.bind", bound).await;
        bound.unwrap_or_else(|error| panic!("{destination}: {error}"));
    }
}

/// Arguments of a queue.
pub fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert(key.into(), value);
    }
    table
}

/// A text, as arguments and headers hold it.
pub fn long_text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}
