"""A full member of a group with nothing but reflection: two share a topic, one goes, the other takes over; Commit and Release by unary calls."""
import sys
import time

import grpc

from reflected import Server, equal

server = Server(sys.argv[1])
GROUP = 'py-group'


class Member:
    """A Subscribe with a group, and what it has been told; read in the order of arrival."""

    def __init__(self):
        group = dict(group_id=GROUP, auto_offset_reset=server.enum('OffsetReset')['OFFSET_RESET_EARLIEST'])
        self.stream = server.call('RecordService.Subscribe', dict(topics=[dict(topic='shared')], group=group))
        self.assignment = None
        self.records = []

    def until(self, condition):
        while not condition():
            answer = next(self.stream)
            if answer.HasField('assignment'):
                self.assignment = answer.assignment
            for partition in answer.partitions:
                assert partition.error_code == 0, partition.error_message
                self.records += [(partition.partition, record.offset) for record in partition.records]

    def has(self, partitions, to_release=0):
        self.until(lambda: self.assignment is not None
                   and (len(self.assignment.partitions), len(self.assignment.to_release)) == (partitions, to_release))
        return sorted(each.partition for each in self.assignment.partitions)

    def me(self):
        return dict(group_id=GROUP, member_id=self.assignment.member_id, member_epoch=self.assignment.member_epoch)

    def release(self):
        server.call('RecordService.Release', dict(version=self.assignment.version, **self.me()))

    def commit(self, **offsets):
        each = [dict(topic='shared', partition=int(name[1:]), offset=offset) for name, offset in offsets.items()]
        return [result.error_code for result in server.call('RecordService.Commit', dict(offsets=each, **self.me())).results]


def story():
    server.call('AdminService.CreateTopic', dict(name='shared', partitions=2))
    for partition in range(2):
        server.call('RecordService.Publish', dict(topic='shared', partition=partition, records=[dict(value=b'x')] * 4))
    first = Member()
    equal('who is alone has everything', first.has(2), [0, 1])
    first.until(lambda: len(first.records) == 8)
    equal('and commits it', first.commit(p0=3, p1=3), [0, 0])
    second = Member()
    first.has(1, 1)
    equal('nothing is released unasked', [each.partition not in [kept.partition for kept in first.assignment.partitions]
                                          for each in first.assignment.to_release], [True])
    first.release()
    theirs = second.has(1)
    equal('what was released the other has', sorted(theirs + [each.partition for each in first.assignment.partitions]), [0, 1])
    second.until(lambda: len(second.records) == 1)
    equal('from where the group stands', second.records, [(theirs[0], 3)])
    at = time.monotonic()
    first.stream.cancel()
    equal('who stays takes over', second.has(2), [0, 1])
    equal('at once', time.monotonic() - at < 2, True)
    equal('and commits for both', second.commit(p0=4, p1=4), [0, 0])
    try:
        codes = first.commit(p0=1)
    except grpc.RpcError:
        codes = [-1]
    equal('whoever left commits no more', codes != [0], True)
    described = server.call('GroupService.DescribeGroups', dict(group_ids=[GROUP], include_lag=True)).groups[0]
    equal('the group says so', sorted((each.partition, each.committed_offset, each.lag) for each in described.partitions),
          [(0, 4, 0), (1, 4, 0)])


story()
