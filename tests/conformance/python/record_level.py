"""The record level with nothing but reflection: publish, subscribe, topics, health, credits, errors as typed details."""
import sys

import grpc
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor_pool import DescriptorPool

from reflected import Server, equal

server = Server(sys.argv[1])


def refusal(call):
    """'CODE REASON' of a call that fails, from the google.rpc.Status that standard clients look for."""
    try:
        result = call()
        for _ in result if hasattr(result, '__iter__') else []:
            pass
    except grpc.RpcError as error:
        trailers = dict(error.trailing_metadata())
        return f'{error.code().name} {error_info(trailers["grpc-status-details-bin"])}'
    return 'OK'


def error_info(details):
    """The reason of the google.rpc.ErrorInfo in a google.rpc.Status, whose messages are written down here."""
    file = descriptor_pb2.FileDescriptorProto(name='details.proto', package='rpc', syntax='proto3')
    string, message, repeated, optional = 9, 11, 3, 1

    def add(name, *fields):
        described = file.message_type.add(name=name)
        for number, field, kind, label in fields:
            described.field.add(
                name=field, number=number, label=label,
                type=message if isinstance(kind, str) else kind, type_name=kind if isinstance(kind, str) else None)

    add('Any', (1, 'type_url', string, optional), (2, 'value', 12, optional))
    add('Status', (1, 'code', 5, optional), (2, 'message', string, optional), (3, 'details', '.rpc.Any', repeated))
    add('ErrorInfo', (1, 'reason', string, optional), (2, 'domain', string, optional))
    pool = DescriptorPool()
    pool.Add(file)
    classes = message_factory.GetMessageClassesForFiles(['details.proto'], pool)
    status = classes['rpc.Status'].FromString(details)
    info = classes['rpc.ErrorInfo'].FromString(status.details[0].value)
    assert status.details[0].type_url == 'type.googleapis.com/google.rpc.ErrorInfo' and info.domain == 'tributary'
    return info.reason


def publish(topic, records, **more):
    answer = server.call('RecordService.Publish', dict(topic=topic, records=records, **more))
    return [(each.partition, each.offset, each.error_code) for each in answer.records]


def read_all(selection):
    """(partition, offset, key, value) of everything that is there now."""
    found = []
    for answer in server.call('RecordService.Subscribe', dict(topics=[selection], stop_at_end=True)):
        for partition in answer.partitions:
            assert partition.error_code == 0, partition.error_message
            for record in partition.records:
                key = record.key if record.HasField('key') else None
                found.append((partition.partition, record.offset, key, record.value if record.HasField('value') else None))
    return found


def topics():
    for service in ['RecordService', 'LogService', 'AdminService', 'MetadataService']:
        equal(f'{service} is listed', f'tributary.v1alpha.{service}' in server.services(), True)
    made = server.call('AdminService.CreateTopic', dict(name='py', partitions=2, configs={'retention.ms': '600000'}))
    equal('a topic is created', (made.partitions, made.replication_factor), (2, 1))
    equal('and listed', 'py' in [topic.name for topic in server.call('AdminService.ListTopics', {}).topics], True)


def records():
    sent = [dict(key=b'k', value=b'one', headers=[dict(key='h', value=b'\xff')]), dict(key=b'k'), dict(key=b'', value=b'')]
    placed = publish('py', sent, partition=1)
    equal('offsets come in the order of the request', placed, [(1, 0, 0), (1, 1, 0), (1, 2, 0)])
    whole = read_all(dict(topic='py', start=dict(beginning=True)))
    equal('records come back as they went in', whole, [(1, 0, b'k', b'one'), (1, 1, b'k', None), (1, 2, b'', b'')])
    later = read_all(dict(topic='py', partitions=[1], start=dict(offset=2)))
    equal('from an offset', later, whole[2:])
    by_key = {partition for partition, _, _ in publish('py', [dict(key=b'same', value=b'x')] * 5)}
    equal('a key has one partition', len(by_key), 1)
    refused = publish('py', [dict(value=b'fine'), dict(value=b'lost', partition=9)], partition=0)
    unknown = server.enum('ErrorCode')['ERROR_CODE_UNKNOWN_TOPIC_OR_PARTITION']
    equal('a record fails alone', refused, [(0, refused[0][1], 0), (9, -1, unknown)])


def credits():
    publish('py', [dict(value=b'x' * 1000)] * 5, partition=0)
    request = dict(topics=[dict(topic='py', partitions=[0], start=dict(beginning=True))], credit_bytes=1500)
    stream = server.call('RecordService.Subscribe', request)
    subscription, received, limit = None, 0, 1500
    for answer in stream:
        subscription = answer.subscription_id or subscription
        received += sum(len(record.key) + len(record.value) for each in answer.partitions for record in each.records)
        assert received <= limit, f'{received} bytes came with a credit of {limit}'
        if received > 5000:
            break
        if answer.credit_needed:
            limit = answer.credit_needed
            server.call('RecordService.GrantCredit', dict(subscription_id=subscription, credit_limit=limit))
    stream.cancel()
    print('never more bytes than the credit, and all with enough of it')


def failures():
    def called(method, **request):
        return lambda: server.call(method, request)

    equal('unknown topic', refusal(called('RecordService.Publish', topic='absent', records=[{}])), 'NOT_FOUND UNKNOWN_TOPIC_OR_PARTITION')
    equal('nothing to publish', refusal(called('RecordService.Publish', topic='py')), 'INVALID_ARGUMENT INVALID_REQUEST')
    equal('no topic to read', refusal(called('RecordService.Subscribe')), 'INVALID_ARGUMENT INVALID_REQUEST')
    bad = called('AdminService.CreateTopic', name='bad', configs={'retention.ms': 'soon'})
    equal('a bad config', refusal(bad), 'INVALID_ARGUMENT INVALID_CONFIG')
    other = called('RecordService.Publish', topic='py', records=[{}], context=dict(cluster_id='another'))
    equal('another cluster', refusal(other), 'FAILED_PRECONDITION INCONSISTENT_CLUSTER_ID')
    unknown = called('RecordService.GrantCredit', subscription_id='guess', credit_limit=1)
    equal('an unknown subscription', refusal(unknown), 'NOT_FOUND RESOURCE_NOT_FOUND')


def health():
    serving = server.call('grpc.health.v1.Health.Check', dict(service='tributary.v1alpha.LogService')).status
    equal('health of a service', serving, 1)
    equal('health of all', all(each.status == 1 for each in server.call('grpc.health.v1.Health.List', {}).statuses.values()), True)
    equal('watched health', next(iter(server.call('grpc.health.v1.Health.Watch', {}))).status, 1)
    missing = lambda: server.call('grpc.health.v1.Health.Check', dict(service='nothing'))
    equal('health of what is not served', refusal(missing), 'NOT_FOUND RESOURCE_NOT_FOUND')


topics()
records()
credits()
failures()
health()
