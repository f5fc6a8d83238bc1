"""Calls to a server of which nothing is known but its address: messages and methods are learnt by reflection."""
import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

PACKAGE = 'tributary.v1alpha'


class Server:
    def __init__(self, address):
        self.channel = grpc.insecure_channel(address, options=[('grpc.max_receive_message_length', 64 << 20)])
        self.database = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = DescriptorPool(self.database)

    def services(self):
        return self.database.get_services()

    def message(self, name, **fields):
        return GetMessageClass(self.pool.FindMessageTypeByName(f'{PACKAGE}.{name}'))(**fields)

    def enum(self, name):
        values = self.pool.FindEnumTypeByName(f'{PACKAGE}.{name}').values_by_name
        return {value: described.number for value, described in values.items()}

    def call(self, method, request, timeout=30):
        """'Service.Method' of the package, or the full name. A message, or a dict of its fields, or an iterator of messages."""
        full = method if method.count('.') > 1 else f'{PACKAGE}.{method}'
        service, _, name = full.rpartition('.')
        described = self.pool.FindServiceByName(service).methods_by_name[name]
        request_class = GetMessageClass(described.input_type)
        path = f'/{service}/{name}'
        kind = ('stream' if described.client_streaming else 'unary') + '_' + ('stream' if described.server_streaming else 'unary')
        send = getattr(self.channel, kind)(
            path,
            request_serializer=request_class.SerializeToString,
            response_deserializer=GetMessageClass(described.output_type).FromString,
        )
        return send(request_class(**request) if isinstance(request, dict) else request, timeout=timeout)


def equal(what, actual, expected):
    if actual != expected:
        raise SystemExit(f'{what}: {actual!r} instead of {expected!r}')
    print(what)
