use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use asgiref::{ChannelName, Message};

use crate::middleware::Wrapped;
use crate::params::RouteParams;
use crate::routing::defaults::DefaultRoutes;
use crate::routing::filter::{Cut, Filter, Verdict};
use crate::routing::route::{Endpoint, Route};
use crate::routing::router::{Entry, Router};

/// A router made ready for matching: for each channel only the routes that concern it.
pub(crate) struct RoutingTable {
    channels: HashMap<ChannelName, Vec<Node>>,
    defaults: Option<DefaultRoutes>,
}

/// A route or include, reduced to one channel.
#[derive(Clone)]
enum Node {
    Route {
        filters: Vec<Filter>,
        endpoint: Arc<dyn Endpoint>,
    },
    Include {
        prefixes: Vec<Filter>,
        nodes: Vec<Self>,
    },
}

/// The consumer for a message, and what its route captured.
pub(crate) struct Matched<'t> {
    pub(crate) endpoint: &'t dyn Endpoint,
    pub(crate) params: RouteParams,
}

impl RoutingTable {
    pub(crate) fn new(router: &Router, defaults: Option<DefaultRoutes>) -> Self {
        let mut channels = HashMap::new();
        for name in router.channel_names() {
            let nodes = nodes_for(router, &name, &[]);
            channels.insert(name, nodes);
        }
        Self { channels, defaults }
    }

    /// The same with nothing but the routes for one channel.
    pub(super) fn for_channel(router: &Router, channel: &ChannelName) -> Self {
        let name = channel.to_non_local();
        let nodes = nodes_for(router, &name, &[]);
        Self {
            channels: HashMap::from([(name, nodes)]),
            defaults: None,
        }
    }

    /// The channels for which there is a route, or a default.
    pub(crate) fn channel_names(&self) -> BTreeSet<ChannelName> {
        let mut names: BTreeSet<_> = self.channels.keys().cloned().collect();
        if self.defaults.is_some() {
            names.extend(DefaultRoutes::channel_names());
        }
        names
    }

    /// The first route that takes `message`, or else the default for its channel.
    pub(crate) fn find(&self, channel: &ChannelName, message: &Message) -> Option<Matched<'_>> {
        self.find_route(channel, message).or_else(|| {
            let defaults = self.defaults.as_ref()?;
            Some(Matched {
                endpoint: defaults.find(self, channel, message)?,
                params: RouteParams::default(),
            })
        })
    }

    fn find_route(&self, channel: &ChannelName, message: &Message) -> Option<Matched<'_>> {
        let mut search = Search {
            message,
            params: RouteParams::default(),
            absent_keys_match: false,
        };
        let endpoint = search.among(self.nodes(channel)?, None)?;
        search.params.settle();
        Some(Matched {
            endpoint: &**endpoint,
            params: search.params,
        })
    }

    /// Whether a message on `channel` with the keys of `message`, and others besides, could be
    /// taken by some route: keys that `message` does not have are not judged.
    pub(crate) fn could_take(&self, channel: &ChannelName, message: &Message) -> bool {
        let mut search = Search {
            message,
            params: RouteParams::default(),
            absent_keys_match: true,
        };
        self.nodes(channel)
            .is_some_and(|nodes| search.among(nodes, None).is_some())
    }

    /// Routes for the channel; a process-specific one is listened on by its non-local part.
    fn nodes(&self, channel: &ChannelName) -> Option<&[Node]> {
        self.channels.get(channel.non_local()).map(Vec::as_slice)
    }
}

/// `outer` is the middleware around the whole router, outermost last.
fn nodes_for(router: &Router, channel: &ChannelName, outer: &[Arc<dyn Wrapped>]) -> Vec<Node> {
    let around: Vec<_> = router.middleware.iter().chain(outer).cloned().collect();
    let nodes = router.entries.iter().filter_map(|entry| match entry {
        Entry::Route(route) => node_for(route, channel, &around),
        Entry::Include(include) => {
            let nodes = nodes_for(&include.router, channel, &around);
            (!nodes.is_empty()).then(|| Node::Include {
                prefixes: include.prefixes.clone(),
                nodes,
            })
        }
    });
    nodes.collect()
}

fn node_for(route: &Route, channel: &ChannelName, around: &[Arc<dyn Wrapped>]) -> Option<Node> {
    route.channels.contains(channel).then(|| Node::Route {
        filters: route.filters.clone(),
        endpoint: route.endpoint(around),
    })
}

struct Search<'m> {
    message: &'m Message,
    params: RouteParams,
    absent_keys_match: bool,
}

impl Search<'_> {
    fn among<'t>(
        &mut self,
        nodes: &'t [Node],
        cuts: Option<&Cut<'_>>,
    ) -> Option<&'t Arc<dyn Endpoint>> {
        let captured = self.params.len();
        for node in nodes {
            let found = match node {
                Node::Route { filters, endpoint } => {
                    self.all_match(filters, cuts).then_some(endpoint)
                }
                Node::Include { prefixes, nodes } => self.within(prefixes, nodes, cuts),
            };
            if found.is_some() {
                return found;
            }
            self.params.truncate(captured);
        }
        None
    }

    fn all_match(&mut self, filters: &[Filter], cuts: Option<&Cut<'_>>) -> bool {
        filters.iter().all(
            |filter| match filter.check(self.message, cuts, &mut self.params) {
                Verdict::Matches { .. } => true,
                Verdict::Absent => self.absent_keys_match,
                Verdict::Differs => false,
            },
        )
    }

    /// Cuts one prefix after the other, then looks among `nodes`. Goes as deep as includes and
    /// prefixes are nested in the program.
    fn within<'t>(
        &mut self,
        prefixes: &[Filter],
        nodes: &'t [Node],
        cuts: Option<&Cut<'_>>,
    ) -> Option<&'t Arc<dyn Endpoint>> {
        let Some((prefix, rest)) = prefixes.split_first() else {
            return self.among(nodes, cuts);
        };
        match prefix.check(self.message, cuts, &mut self.params) {
            Verdict::Matches { end } => {
                let cut = Cut {
                    key: prefix.key(),
                    offset: end,
                    outer: cuts,
                };
                self.within(rest, nodes, Some(&cut))
            }
            Verdict::Absent if self.absent_keys_match => self.within(rest, nodes, cuts),
            Verdict::Absent | Verdict::Differs => None,
        }
    }
}
