import type { ClientOptions, ServerOptions } from '@grpc/grpc-js';
import { limits } from '@tributary/model';

const bothEnds = {
  'grpc.max_receive_message_length': limits.messageBytesMax,
  'grpc.max_send_message_length': limits.messageBytesMax,
  'grpc.max_concurrent_streams': limits.callsPerConnection,
  'grpc.keepalive_time_ms': limits.keepaliveMs,
  'grpc.keepalive_timeout_ms': limits.keepaliveTimeoutMs,
  'grpc.enable_channelz': 0,
};

export const clientOptions: ClientOptions = {
  ...bothEnds,
  'grpc-node.flow_control_window': limits.transportWindow,
  'grpc.use_local_subchannel_pool': 1,
  // When to try again is the caller's decision.
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_http_proxy': 0,
};

/** The windows are missing here: grpc-js reads them at clients only. */
export const serverOptions: ServerOptions = bothEnds;
