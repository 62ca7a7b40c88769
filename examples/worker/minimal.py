"""The smallest worker that ms2m can move, in Python with pika (pip install pika)."""

import json
import os
import time

import pika

URL = os.environ["AMQP_URL"]
PRIMARY = os.environ["QUEUE"]
state = []  # What the application holds in memory, and a migration moves.


def pod_name():
    """Read anew for each connection: after a migration the name is another one, and the
    environment still has the old one."""
    with open("/etc/hostname", encoding="utf-8") as file:
        return file.read().strip()


def queue_to_consume(order):
    """The queue that an order names; None for orders of a type that is not known (yet)."""
    try:
        order = json.loads(order)
        if order["type"] == "START_REPLAY":
            return order["payload"]["queue"]
        if order["type"] == "END_REPLAY":
            return PRIMARY
    except (ValueError, KeyError, TypeError):
        pass
    return None


def on_message(channel, method, _properties, body):
    """Apply first, acknowledge afterwards."""
    state.append(body)
    channel.basic_ack(method.delivery_tag)


def work():
    """Apply what comes over one connection, until it is lost."""
    connection = pika.BlockingConnection(pika.URLParameters(URL))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=50)
    control = f"ms2m.control.{pod_name()}"
    channel.queue_declare(control, durable=True)
    orders = []
    channel.basic_consume(control, lambda _channel, method, _properties, body:
                          orders.append((method.delivery_tag, body)))
    consumer = channel.basic_consume(PRIMARY, on_message)
    while True:
        connection.process_data_events(time_limit=1)
        while orders:
            delivery_tag, order = orders.pop(0)
            queue = queue_to_consume(order)
            if queue is not None:
                # pika hands back, in order, what it was given and has not applied; so
                # nothing is applied twice when the queue is consumed again.
                channel.basic_cancel(consumer)
                if queue != PRIMARY:
                    channel.queue_declare(queue, durable=True)
                consumer = channel.basic_consume(queue, on_message)
            channel.basic_ack(delivery_tag)


if __name__ == "__main__":
    while True:
        try:
            work()
        except (pika.exceptions.AMQPError, OSError) as error:
            print(f"no connection to the broker: {error!r}", flush=True)
        time.sleep(1)
