//! The application's own exchanges and bindings around Q, and what its publishers send along.

use lapin::options::{
    ExchangeBindOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

/// How the producers' exchanges lead to Q.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wiring {
    /// A fanout exchange, bound twice.
    Fanout,
    /// A direct exchange with two keys.
    Direct,
    /// A topic exchange with two patterns that overlap.
    Topic,
    /// A headers exchange with two bindings that overlap, of a number and a flag.
    Headers,
    /// Two exchanges of different types.
    Several,
    /// An exchange that leads to Q both directly and through another exchange.
    Diamond,
}

impl Wiring {
    pub(crate) const ALL: [Self; 6] = [
        Self::Fanout,
        Self::Direct,
        Self::Topic,
        Self::Headers,
        Self::Several,
        Self::Diamond,
    ];
}

/// What a test runs on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) wiring: Wiring,
    /// Whether Q is a quorum queue.
    pub(crate) quorum: bool,
}

/// What a publisher sends with a message, so that it reaches Q.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) exchange: String,
    pub(crate) key: &'static str,
    pub(crate) headers: FieldTable,
}

/// All of it under names of one test case.
pub(crate) struct Layout {
    pub(crate) queue: String,
    pub(crate) routes: Vec<Route>,
    exchanges: Vec<(String, ExchangeKind)>,
    between_exchanges: Vec<(String, String)>,
    bindings: Vec<(String, &'static str, FieldTable)>,
    quorum: bool,
}

impl Layout {
    pub(crate) fn of(shape: Shape, case: &str) -> Self {
        let mut layout = Self {
            queue: format!("{case}.in"),
            routes: Vec::new(),
            exchanges: Vec::new(),
            between_exchanges: Vec::new(),
            bindings: Vec::new(),
            quorum: shape.quorum,
        };
        let none = FieldTable::default;
        match shape.wiring {
            Wiring::Fanout => {
                let events = layout.exchange(case, "events", ExchangeKind::Fanout);
                layout.bound(&events, &[("", none()), ("unused", none())]);
                layout.routed(&events, &[("any", none())]);
            }
            Wiring::Direct => {
                let events = layout.exchange(case, "events", ExchangeKind::Direct);
                layout.bound(&events, &[("new", none()), ("paid", none())]);
                layout.routed(&events, &[("new", none()), ("paid", none())]);
            }
            Wiring::Topic => {
                let events = layout.exchange(case, "events", ExchangeKind::Topic);
                layout.bound(&events, &[("orders.*", none()), ("#.new", none())]);
                let keys = ["orders.new", "orders.paid", "refunds.of.new"];
                layout.routed(&events, &keys.map(|key| (key, none())));
            }
            Wiring::Headers => layout.by_headers(case),
            Wiring::Several => {
                let events = layout.exchange(case, "events", ExchangeKind::Direct);
                let news = layout.exchange(case, "news", ExchangeKind::Fanout);
                layout.bound(&events, &[("new", none())]);
                layout.bound(&news, &[("", none())]);
                layout.routed(&events, &[("new", none())]);
                layout.routed(&news, &[("", none())]);
            }
            Wiring::Diamond => {
                let events = layout.exchange(case, "events", ExchangeKind::Topic);
                let copies = layout.exchange(case, "copies", ExchangeKind::Fanout);
                layout
                    .between_exchanges
                    .push((events.clone(), copies.clone()));
                layout.bound(&events, &[("orders.*", none())]);
                layout.bound(&copies, &[("", none())]);
                layout.routed(&events, &[("orders.new", none()), ("other", none())]);
            }
        }
        layout
    }

    fn by_headers(&mut self, case: &str) {
        let text = |text: &str| AMQPValue::LongString(text.into());
        let size = ("size", AMQPValue::LongInt(5));
        let urgent = ("urgent", AMQPValue::Boolean(true));
        let events = self.exchange(case, "events", ExchangeKind::Headers);
        let all = table(&[("x-match", text("all")), size.clone(), urgent.clone()]);
        let any = table(&[("x-match", text("any")), size.clone(), ("to", text("us"))]);
        self.bound(&events, &[("", all), ("", any)]);
        let both = table(&[size.clone(), urgent]);
        let one = table(&[("to", text("us"))]);
        self.routed(&events, &[("", both), ("", one)]);
    }

    fn exchange(&mut self, case: &str, name: &str, kind: ExchangeKind) -> String {
        let name = format!("{case}.{name}");
        self.exchanges.push((name.clone(), kind));
        name
    }

    fn bound(&mut self, exchange: &str, by: &[(&'static str, FieldTable)]) {
        for (key, arguments) in by {
            self.bindings
                .push((exchange.to_owned(), key, arguments.clone()));
        }
    }

    fn routed(&mut self, exchange: &str, by: &[(&'static str, FieldTable)]) {
        for (key, headers) in by {
            self.routes.push(Route {
                exchange: exchange.to_owned(),
                key,
                headers: headers.clone(),
            });
        }
    }

    pub(crate) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        let none = FieldTable::default;
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        for (name, kind) in &self.exchanges {
            channel
                .exchange_declare(name.as_str().into(), kind.clone(), durable, none())
                .await?;
        }
        for (from, to) in &self.between_exchanges {
            let options = ExchangeBindOptions::default();
            let (from, to) = (from.as_str().into(), to.as_str().into());
            channel
                .exchange_bind(to, from, "#".into(), options, none())
                .await?;
        }
        let kind = AMQPValue::LongString(if self.quorum { "quorum" } else { "classic" }.into());
        let options = QueueDeclareOptions::durable();
        let queue = self.queue.as_str();
        channel
            .queue_declare(queue.into(), options, table(&[("x-queue-type", kind)]))
            .await?;
        for (exchange, key, arguments) in &self.bindings {
            let exchange = exchange.as_str().into();
            let options = QueueBindOptions::default();
            channel
                .queue_bind(
                    queue.into(),
                    exchange,
                    (*key).into(),
                    options,
                    arguments.clone(),
                )
                .await?;
        }
        Ok(())
    }

    pub(crate) async fn delete(&self, channel: &Channel) -> lapin::Result<()> {
        for (name, _) in &self.exchanges {
            channel
                .exchange_delete(name.as_str().into(), ExchangeDeleteOptions::default())
                .await?;
        }
        channel
            .queue_delete(self.queue.as_str().into(), QueueDeleteOptions::default())
            .await
            .map(|_| ())
    }
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}
