import { limits } from '@tributary/model';
import { Channel, type ChannelCredentials, type ChannelOptions, credentials as grpc } from '@grpc/grpc-js';
import type { IOptions } from 'etcd3';
import net from 'node:net';
import tls from 'node:tls';

export interface EtcdCredentials {
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  /** PEM of who signed etcd's certificate; without it the system's own list holds. */
  readonly ca?: Buffer | undefined;
  /** PEM of this client's certificate and its key, where etcd asks for one; only with `ca`. */
  readonly certificate?: Buffer | undefined;
  readonly key?: Buffer | undefined;
}

/** Sent where a certificate is for an IP address, which TLS has no place for in its greeting; nothing is looked up or checked under it. */
const nameInGreeting = 'etcd.invalid';

/** How etcd3 reaches one member. */
export function connectionOptions(
  address: string,
  credentials: EtcdCredentials,
): Pick<IOptions, 'credentials' | 'grpcOptions'> {
  const grpcOptions = { ...channelOptions, ...ipAddressOptions(address, credentials) };
  const { ca, certificate, key } = credentials;
  if (ca === undefined) return { grpcOptions };
  const own = certificate === undefined || key === undefined ? {} : { privateKey: key, certChain: certificate };
  return { grpcOptions, credentials: { rootCertificate: ca, ...own } };
}

const channelOptions: ChannelOptions = {
  'grpc.max_receive_message_length': limits.messageBytesMax,
  'grpc.keepalive_time_ms': limits.etcdKeepaliveMs,
  'grpc.keepalive_timeout_ms': limits.storeCallMs,
  'grpc.initial_reconnect_backoff_ms': limits.storeRetryMsMin,
  'grpc.max_reconnect_backoff_ms': limits.storeRetryMsMax,
  // Otherwise a new client is given the dead connection of the one before.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_retries': 0,
};

/** The IP address of an `https://` one; undefined where it is a name or not https. */
export function secureIp(address: string): string | undefined {
  const host = /^https:\/\/(?:\[([^\]]+)\]|([^\]:]+)):\d+$/.exec(address);
  const ip = host?.[1] ?? host?.[2];
  return ip !== undefined && net.isIP(ip) !== 0 ? ip : undefined;
}

/** grpc-js greets with whatever it connects to, and Node refuses to greet with an IP address: so another name, and our own check. */
function ipAddressOptions(address: string, { ca, certificate, key }: EtcdCredentials): ChannelOptions {
  const ip = secureIp(address);
  if (ip === undefined) return {};
  const secure = grpc.createSsl(ca, key, certificate, {
    checkServerIdentity: (_name, presented) => tls.checkServerIdentity(ip, presented),
  });
  return {
    'grpc.ssl_target_name_override': nameInGreeting,
    channelFactoryOverride: (target: string, _given: ChannelCredentials, options: ChannelOptions) =>
      new Channel(target, secure, options),
  };
}
