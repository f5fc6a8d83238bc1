export { nodeFileSystem } from './file-system/node-file-system.ts';
export { type HttpPages, type Reasons, serveHttp } from './http.ts';
export { createLogger, type LogLevel, logLevels, type LogOptions } from './logging.ts';
export { type Counter, createMetrics, type Gauge, type Histogram, type Metrics, secondsBuckets } from './metrics.ts';
export { nodeClock } from './node-clock.ts';
export { crashExitCode, nodeHost } from './node-host.ts';
export { nodeRandom } from './node-random.ts';
export { endWhenOutputCloses, runProcess, untilAborted } from './run-process.ts';
export { settingSources } from './setting-sources.ts';
export {
  choiceSetting,
  listSetting,
  numberSetting,
  portSetting,
  readSettings,
  type Setting,
  type SettingSources,
  settingsReference,
  type SettingTable,
  type SettingValues,
  switchSetting,
  textSetting,
  variableOf,
} from './settings.ts';
export { withStandardServices } from './standard-services/standard-services.ts';
export { grpcTransport } from './transport/grpc-transport.ts';
