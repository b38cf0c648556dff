import type { BulwarkError } from "./error.ts";

/** The answer of a call as supabase-js gives it: the data, or the error. */
export type Result<Data> = { data: Data; error: null } | { data: null; error: BulwarkError };

/** The answer of a call: the data alone if the client throws errors, else a {@link Result}. */
export type Answer<Data, Throws extends boolean> = Throws extends true ? Data : Result<Data>;

/** Shows the fields of a composed type instead of its parts. */
export type Simplify<Type> = { [Key in keyof Type]: Type[Key] };
