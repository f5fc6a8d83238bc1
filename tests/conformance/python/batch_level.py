"""The batch level as docs/PROTOCOL.md describes it, and nothing else of this project: RecordBatch v2, Produce, Fetch with credits, retries."""
import queue
import struct
import sys
import zlib

from reflected import Server, equal

server = Server(sys.argv[1])
NO_ERROR = 0


def table():
    """CRC32C, a byte at a time."""
    entries = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        entries.append(byte)
    return entries


CRC_TABLE = table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(number):
    zigzag = 2 * number if number >= 0 else -2 * number - 1
    written = bytearray()
    while zigzag > 0x7F:
        written.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    written.append(zigzag)
    return bytes(written)


def counted(data):
    return varint(-1) if data is None else varint(len(data)) + data


def encode(records, producer=(-1, -1, -1), gzip=False):
    """records: (timestamp, key, value, headers)"""
    base = records[0][0]
    body = b''
    for delta, (timestamp, key, value, headers) in enumerate(records):
        record = b'\0' + varint(timestamp - base) + varint(delta) + counted(key) + counted(value) + varint(len(headers))
        for name, content in headers:
            record += counted(name.encode()) + counted(content)
        body += counted(record)
    if gzip:
        packer = zlib.compressobj(wbits=31)
        body = packer.compress(body) + packer.flush()
    newest = max(record[0] for record in records)
    signed = struct.pack('>hiqqqhii', 1 if gzip else 0, len(records) - 1, base, newest, *producer, len(records)) + body
    return struct.pack('>qiibI', 0, 9 + len(signed), -1, 2, crc32c(signed)) + signed


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        self.at += size
        return self.data[self.at - size:self.at]

    def varint(self):
        zigzag = shift = 0
        while True:
            byte = self.take(1)[0]
            zigzag |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return zigzag >> 1 if zigzag & 1 == 0 else -(zigzag >> 1) - 1

    def counted(self):
        size = self.varint()
        return None if size < 0 else self.take(size)


def decode(data):
    """(offset, timestamp, key, value, headers) of each record of whole batches."""
    while data:
        base_offset, length, _, magic, crc = struct.unpack('>qiibI', data[:21])
        batch, data = data[21:12 + length], data[12 + length:]
        equal_quietly('magic', magic, 2)
        equal_quietly('CRC32C', crc, crc32c(batch))
        attributes, _, base, _, _, _, _, count = struct.unpack('>hiqqqhii', batch[:40])
        body = zlib.decompress(batch[40:], wbits=31) if attributes & 7 == 1 else batch[40:]
        if attributes & 0x20:
            continue
        reader = Reader(body)
        for _ in range(count):
            reader.varint()
            reader.take(1)
            timestamp, offset = base + reader.varint(), base_offset + reader.varint()
            key, value = reader.counted(), reader.counted()
            headers = [(reader.counted().decode(), reader.counted()) for _ in range(reader.varint())]
            yield offset, timestamp, key, value, headers


def equal_quietly(what, actual, expected):
    if actual != expected:
        raise SystemExit(f'{what}: {actual!r} instead of {expected!r}')


class Stream:
    """One end of a stream: requests are sent as they are put."""

    def __init__(self, method):
        self.requests = queue.Queue()
        self.answers = server.call(method, iter(self.requests.get, None))

    def send(self, request):
        self.requests.put(request)

    def next(self):
        return next(self.answers)

    def end(self):
        self.requests.put(None)


def route(topic):
    metadata = server.call('MetadataService.GetMetadata', dict(topics=[topic]))
    partition = metadata.topics[0].partitions[0]
    return metadata.cluster_id, metadata.topics[0].topic_id, partition.leader_epoch


server.call('AdminService.CreateTopic', dict(name='py-batches', partitions=1))
# The answer to Publish comes from the leader: from now on it leads.
server.call('RecordService.Publish', dict(topic='py-batches', records=[dict(value=b'first', timestamp_ms=1)]))
cluster_id, topic_id, leader_epoch = route('py-batches')
acks_all = server.enum('Acks')['ACKS_ALL']
produce = Stream('LogService.Produce')


def produced(batch, correlation_id, epoch=leader_epoch, cluster=cluster_id):
    produce.send(server.message(
        'ProduceRequest', context=dict(cluster_id=cluster), acks=acks_all,
        batches=[dict(correlation_id=correlation_id, topic_id=topic_id, partition=0, leader_epoch=epoch, records=batch)]))
    result = produce.next().results[0]
    equal_quietly('correlation id', result.correlation_id, correlation_id)
    return result.error_code, result.base_offset


producer_id = server.call('MetadataService.InitProducerId', {}).producer_id
batches = [
    encode([(1000, b'a', b'one', [('h', b'x'), ('none', None)]), (999, None, b'', [])], (producer_id, 0, 0)),
    encode([(2000, b'b', None, [])], (producer_id, 0, 2), gzip=True),
]
equal('a batch gets its offset', produced(batches[0], 1), (NO_ERROR, 1))
equal('and a compressed one the next', produced(batches[1], 2), (NO_ERROR, 3))
equal('P2: a retry is answered as the original was', produced(batches[0], 3), (NO_ERROR, 1))
errors = server.enum('ErrorCode')
gap = encode([(1, None, b'gap', [])], (producer_id, 0, 9))
equal('P1: a gap is refused', produced(gap, 4)[0], errors['ERROR_CODE_OUT_OF_ORDER_SEQUENCE_NUMBER'])
damaged = bytearray(batches[1])
damaged[-1] ^= 1
equal('a bit that turned over is noticed', produced(bytes(damaged), 5)[0], errors['ERROR_CODE_CORRUPT_MESSAGE'])
equal('F2: a newer epoch is refused', produced(batches[1], 6, leader_epoch + 1)[0], errors['ERROR_CODE_UNKNOWN_LEADER_EPOCH'])
produce.end()

fetch = Stream('LogService.Fetch')


def opened(generation, offset, credit):
    position = dict(topic_id=topic_id, partition=0, generation=generation, offset=offset, last_epoch=-1, leader_epoch=leader_epoch)
    fetch.send(server.message('FetchRequest', context=dict(cluster_id=cluster_id), open=[dict(position, credit_limit=credit)]))


opened(1, 2, 1)
answer = fetch.next().partitions[0]
equal('E1: without credit nothing comes but what is needed', (answer.records, answer.credit_needed > 1), (b'', True))
fetch.send(server.message('FetchRequest', credit=[dict(topic_id=topic_id, partition=0, generation=1, credit_limit=1 << 20)]))
found = []
while not found or found[-1][0] < 3:
    for partition in fetch.next().partitions:
        equal_quietly('error', partition.error_code, NO_ERROR)
        found += [record for record in decode(partition.records) if record[0] >= 2]
equal('records come back byte for byte, from the offset on', found, [(2, 999, None, b'', []), (3, 2000, b'b', None, [])])
opened(2, 0, 1 << 20)
seeked = [record for partition in fetch.next().partitions if partition.generation == 2 for record in decode(partition.records)]
equal('after a seek from the new position', seeked[:2], [(0, 1, None, b'first', []), (1, 1000, b'a', b'one', [('h', b'x'), ('none', None)])])
opened(3, 99, 1 << 20)
equal('beyond the end', fetch.next().partitions[0].error_code, errors['ERROR_CODE_OFFSET_OUT_OF_RANGE'])
fetch.end()

specs = server.enum('OffsetSpec')


def listed(spec, timestamp=0):
    wanted = dict(topic_id=topic_id, partition=0, leader_epoch=leader_epoch, spec=specs[f'OFFSET_SPEC_{spec}'], timestamp_ms=timestamp)
    return server.call('LogService.ListOffsets', dict(partitions=[wanted])).partitions[0].offset


equal('offsets by name and time', [listed('EARLIEST'), listed('LATEST'), listed('TIMESTAMP', 1500)], [0, 4, 3])
