//! The narrowest permissions of a broker's user that a migration takes, as docs/operator.md lists them:
//! with these a whole migration works, and with any less the check says so.

use serde_json::json;

use crate::broker::put;
use crate::shown::check;
use crate::support::{App, Options};

const MAY: &str = "may make, bind and use the replay queues";

/// As in docs/operator.md, section 2, with the names of this application.
fn patterns(app: &App) -> [String; 3] {
    let (queue, exchange) = (regex::escape(&app.queue), regex::escape(&app.exchange));
    [
        format!(r"^({queue}\.ms2m-|ms2m\.control\.)"),
        format!(r"^({queue}(\.ms2m-.*)?|amq\.default)$"),
        format!(r"^({queue}\.ms2m-.*|ms2m\.control\..*|{exchange})$"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_permissions_do_and_fewer_do_not() {
    let app = App::start("least", &Options::default()).await;
    if !app.world.is_sandbox() {
        app.end().await;
        return;
    }
    let own = ms2m::broker::BrokerUrl::parse(&app.world.places.broker_url).expect("a URL");
    let user = format!("least-{}", std::process::id());
    let vhost: String = url::form_urlencoded::byte_serialize(own.vhost().as_bytes()).collect();
    let account = json!({"password": "l3ast", "tags": "monitoring"});
    put(&app, &format!("users/{user}"), account).await;
    let give = async |[configure, write, read]: [String; 3]| {
        let rights = json!({"configure": configure, "write": write, "read": read});
        put(&app, &format!("permissions/{vhost}/{user}"), rights).await;
    };
    let url = app.world.places.broker_url.replace(
        &format!("{}:{}@", own.user(), own.password()),
        &format!("{user}:l3ast@"),
    );
    let least = patterns(&app);
    for at in 0..least.len() {
        let mut fewer = least.clone();
        "^$".clone_into(&mut fewer[at]);
        give(fewer).await;
        let shown = check(&app, &["--broker-url", &url]).await;
        shown.expect("Broker", MAY, "fail");
    }
    // Without the producers' exchange, the queue itself, and the control queues.
    let [configure, write, read] = least.clone();
    let of_ms2m = format!(r"^{}\.ms2m-", regex::escape(&app.queue));
    let not_of_control = read.replace(r"|ms2m\.control\..*", "");
    assert_ne!(not_of_control, read);
    for fewer in [
        [configure.clone(), write.clone(), not_of_control],
        [configure.clone(), write, of_ms2m.clone()],
        [
            configure,
            format!(r"({of_ms2m}|^amq\.default$)"),
            read.clone(),
        ],
        [of_ms2m.clone(), least[1].clone(), read],
    ] {
        give(fewer).await;
        let shown = check(&app, &["--broker-url", &url]).await;
        shown.expect("Broker", MAY, "fail");
    }
    give(least).await;
    let shown = check(&app, &["--broker-url", &url]).await;
    shown.expect("Broker", MAY, "pass");
    // There, and back where it is rolled back.
    let fault = json!({"node": app.world.source_node, "pod": format!("{}/{}", app.namespace, app.pod), "on": "checkpoint", "error": "no", "times": 1});
    app.world.order("/kubelet", fault).await;
    let back = app.migrate(&["--broker-url", &url]).await;
    back.expect_code(4);
    let moved = app.migrate(&["--broker-url", &url]).await;
    moved.expect_code(0);
    app.end().await;
}
