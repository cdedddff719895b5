//! What the tests about connections have in common.

use asgi_rabbitmq::RabbitmqChannelLayer;

use crate::support::amqp::Client;
use crate::support::broker::{Broker, url_at};
use crate::support::pair::Settings;
use crate::support::proxy::FaultProxy;
use crate::support::topology::Topology;
use crate::traffic::Traffic;

/// A virtual host, and a layer on either side of a proxy of its own.
pub(crate) struct Stage {
    pub(crate) settings: Settings,
    pub(crate) to_sender: FaultProxy,
    pub(crate) to_receiver: FaultProxy,
}

impl Stage {
    /// On the broker that tests share.
    pub(crate) fn set() -> Self {
        Self::set_on(Broker::shared())
    }

    pub(crate) fn set_on(broker: &Broker) -> Self {
        Self {
            settings: Settings::on(broker),
            to_sender: FaultProxy::start(broker.port()),
            to_receiver: FaultProxy::start(broker.port()),
        }
    }

    /// The same settings, reached through `proxy`.
    pub(crate) fn settings_through(&self, proxy: &FaultProxy) -> Settings {
        let url = url_at(proxy.port(), self.settings.virtual_host());
        self.settings.clone().reached_at([url])
    }

    pub(crate) fn sender(&self) -> RabbitmqChannelLayer {
        self.settings_through(&self.to_sender).ours()
    }

    pub(crate) fn receiver(&self) -> RabbitmqChannelLayer {
        self.settings_through(&self.to_receiver).ours()
    }

    /// A receiver that soon notices when an idle connection is dead.
    pub(crate) fn alert_receiver(&self) -> RabbitmqChannelLayer {
        self.settings_through(&self.to_receiver).heartbeat(2).ours()
    }

    pub(crate) async fn traffic(&self) -> Traffic {
        let traffic = Traffic::start(self.sender(), self.receiver());
        traffic.expect_flowing().await;
        traffic
    }

    /// A plain client, past all proxies.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.settings.url()).await
    }

    /// What is declared on the shared broker.
    pub(crate) fn topology(&self) -> Topology {
        Topology::of(Broker::shared(), self.settings.virtual_host())
    }
}
