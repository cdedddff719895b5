//! Protocol servers and workers, ours and the Python originals', in processes of their own.

#[path = "../support/mod.rs"]
mod support;
#[path = "../../../conformance/support/systems/mod.rs"]
mod systems;

mod mixed;
mod outage;
mod readers;
mod restart;

use asgi_rabbitmq::RabbitmqChannelLayer;
use support::pair::{Settings, original};
use support::python::PythonSite;
use systems::program::{Program, SiteSettings};

impl SiteSettings for Settings {
    type Layer = RabbitmqChannelLayer;

    fn layer(&self) -> RabbitmqChannelLayer {
        self.ours()
    }

    fn python_site(&self) -> PythonSite {
        PythonSite::new(original(), self.for_python())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "this is a program that the tests start"]
async fn program() {
    Program::<Settings>::play().await;
}
