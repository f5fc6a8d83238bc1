// pure
/**
 * Kubernetes puts the address of every service of a namespace into the environment of each pod. For a service called "tributary" those are
 * TRIBUTARY_PORT=tcp://10.0.0.1:9095 and the like: not settings of ours.
 */
export function isServiceLink(variable: string, value: string): boolean {
  return (
    /^(tcp|udp|sctp):\/\//.test(value) ||
    /_SERVICE_(HOST|PORT)(_|$)/.test(variable) ||
    /_PORT_\d+_(TCP|UDP|SCTP)(_|$)/.test(variable)
  );
}
