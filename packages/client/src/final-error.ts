// pure
import { TributaryError } from '@tributary/model';

/** An error that waiting will not mend here, whatever the table says of its kind: it has been waited for, or whoever decides has been asked. */
export class FinalError extends TributaryError {
  override get retriable(): boolean {
    return false;
  }
}
