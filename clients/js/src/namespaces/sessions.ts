import type { Calls } from "../calls.ts";

/** Where the caller's own account is signed in. */
export function sessions<T extends boolean>({ rpc }: Calls<T>) {
  return {
    /** The live sessions, the one used last first. */
    list: () => rpc("my_sessions", {}),
    /** Ends a session, as a sign-out does. */
    end: (session: string) => rpc("end_session", { session_id: session }),
  };
}
