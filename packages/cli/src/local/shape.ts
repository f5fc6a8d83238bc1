// pure
/** What a local cluster is where nobody says otherwise, and how large it may be. */

export const defaultFolder = './tributary-local';
export const defaultBrokers = 3;
/** One that is active, and one that takes over. */
export const defaultControllers = 2;
/** Two that share the groups, and each takes over the other's. */
export const defaultCoordinators = 2;
export const defaultPort = 9095;
/** Node ids come in one row for all roles: so many numbers lie before the first controller's, and before the first coordinator's. */
export const brokersMax = 100;
export const controllersMax = 100;
export const coordinatorsMax = 100;
/** Room above the first port for the HTTP ports of all of them. */
export const portMax = 60_000;
export const firstId = {
  broker: 1,
  controller: 1 + brokersMax,
  coordinator: 1 + brokersMax + controllersMax,
} as const;

/** What its parts are called. */
export const usualNames: readonly string[] = [
  'etcd',
  ...Array.from({ length: defaultControllers }, (_, at) => `controller-${at + 1}`),
  ...Array.from({ length: defaultBrokers }, (_, at) => `broker-${at + 1}`),
  ...Array.from({ length: defaultCoordinators }, (_, at) => `coordinator-${at + 1}`),
];
