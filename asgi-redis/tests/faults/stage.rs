//! What the tests about connections have in common.

use asgi_redis::RedisChannelLayer;

use crate::support::pair::Settings;
use crate::support::proxy::FaultProxy;
use crate::support::server::RedisServer;
use crate::traffic::Traffic;

/// A server, and a layer on either side of a proxy of its own.
pub(crate) struct Stage {
    pub(crate) server: RedisServer,
    pub(crate) settings: Settings,
    pub(crate) to_sender: FaultProxy,
    pub(crate) to_receiver: FaultProxy,
}

impl Stage {
    pub(crate) fn set() -> Self {
        let server = RedisServer::start();
        let settings = Settings::on([&server]);
        let to_sender = FaultProxy::start(server.port());
        let to_receiver = FaultProxy::start(server.port());
        Self {
            server,
            settings,
            to_sender,
            to_receiver,
        }
    }

    pub(crate) fn through(&self, proxy: &FaultProxy) -> RedisChannelLayer {
        let url = self.server.url_at(proxy.port());
        self.settings.clone().reached_at([url]).ours()
    }

    pub(crate) fn sender(&self) -> RedisChannelLayer {
        self.through(&self.to_sender)
    }

    pub(crate) fn receiver(&self) -> RedisChannelLayer {
        self.through(&self.to_receiver)
    }

    /// A receiver that soon notices when an idle connection is dead, as all of them do.
    pub(crate) fn alert_receiver(&self) -> RedisChannelLayer {
        self.receiver()
    }

    pub(crate) async fn traffic(&self) -> Traffic {
        let traffic = Traffic::start(self.sender(), self.receiver());
        traffic.expect_flowing().await;
        traffic
    }

    /// How many messages wait on `name`.
    pub(crate) fn waiting(&self, name: &str) -> i64 {
        self.server
            .command(&["LLEN", &self.settings.key(name)])
            .int()
    }
}
