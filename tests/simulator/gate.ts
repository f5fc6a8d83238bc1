/** What wakes a program: its own timers, or what comes from outside. */
export type Arrival = 'timer' | 'outside';

/** Whoever the world calls into. A stopped one (SIGSTOP) has everything that comes wait at its door. */
export interface Doorkeeper {
  enter?(arrival: Arrival, action: () => void): void;
}

/** Every call from the world into a program goes through here. */
export function into(whom: Doorkeeper, arrival: Arrival, action: () => void): void {
  if (whom.enter === undefined) action();
  else whom.enter(arrival, action);
}
