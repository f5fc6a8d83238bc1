/** What operators ask a broker: to take records away, what it holds and uses; and, by one hop, what the controller decides (F1). */
import type { Clock, FileSystem, Handlers, Service } from '@tributary/ports';
import { methods } from '@tributary/wire';
import type { DataDirectory } from './log/data-directory.ts';
import type { Replicas } from './replicas.ts';
import type { ControllerClient } from './rpc/controller-client.ts';
import { deleteRecordsHandler } from './rpc/delete-records.ts';
import { type Described, describeBrokerHandler } from './rpc/describe-broker.ts';
import { describeLogDirsHandler } from './rpc/describe-log-dirs.ts';
import type { Neighbours } from './rpc/neighbours.ts';
import { previewRetentionHandler } from './rpc/preview-retention.ts';
import type { LiveSettings } from './settings.ts';

interface Parts {
  readonly replicas: Replicas;
  readonly directory: DataDirectory;
  readonly settings: LiveSettings;
  readonly controller: ControllerClient;
  readonly neighbours: Neighbours;
  readonly described: Described;
  readonly clock: Clock;
  readonly files: FileSystem;
}

export function adminService(parts: Parts): Service {
  const { replicas, directory, settings, controller, neighbours, described, clock, files } = parts;
  return (handlers: Handlers): void => {
    handlers.unary(methods.deleteRecords, deleteRecordsHandler(replicas, neighbours, clock));
    handlers.unary(methods.previewRetention, previewRetentionHandler(replicas, neighbours, clock));
    handlers.unary(methods.describeBroker, describeBrokerHandler(replicas, neighbours, described));
    handlers.unary(methods.describeLogDirs, describeLogDirsHandler(replicas, neighbours, directory, files, settings));
    handlers.unary(methods.createPartitions, (request, { signal }) =>
      controller.forward(methods.createPartitions, request, signal),
    );
    handlers.unary(methods.alterConfigs, (request, { signal }) =>
      controller.forward(methods.alterConfigs, request, signal),
    );
    handlers.unary(methods.describeConfigs, (request, { signal }) =>
      controller.forward(methods.describeConfigs, request, signal),
    );
    handlers.unary(methods.describeCluster, (request, { signal }) =>
      controller.forward(methods.describeCluster, request, signal),
    );
    handlers.unary(methods.electLeaders, (request, { signal }) =>
      controller.forward(methods.electLeaders, request, signal),
    );
  };
}
