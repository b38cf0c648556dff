/** React 18 and 19: who is signed in and what they may do, kept up to date. */
import {
  createContext,
  createElement,
  Fragment,
  type ReactElement,
  type ReactNode,
  useContext,
  useEffect,
  useMemo,
  useSyncExternalStore,
} from "react";
import type { Client } from "./client.ts";
import type { Permission } from "./permissions.ts";
import type { Whoami } from "./shapes.ts";
import { type Known, Watch } from "./watch.ts";

export type { Known } from "./watch.ts";

/** Properties of {@link BulwarkProvider}. */
export interface BulwarkProviderProps {
  /** A client without `throwOnError`. */
  client: Client;
  /**
   * The id of the account that is signed in; null or undefined: nobody, so nothing is asked. If it
   * changes, everything known is forgotten.
   */
  account: string | null | undefined;
  /** Milliseconds between two questions whether something has changed; 30,000 by default. */
  interval?: number | undefined;
  children?: ReactNode;
}

/** The state that all hooks share. */
interface Shared {
  client: Client;
  whoami: Watch<Whoami> | null;
  permissions(organization: string | null): Watch<ReadonlySet<Permission>> | null;
  refresh(): Promise<void>;
}

const Context = createContext<Shared | null>(null);

/** The page; a server and React Native have none. */
const { document: page } = globalThis as { document?: EventTarget & { visibilityState: string } };

/** Gives the hooks below it their client. */
export function BulwarkProvider(
  { client, account, interval = 30_000, children }: BulwarkProviderProps,
): ReactElement {
  const shared = useMemo(() => share(client, account, interval), [client, account, interval]);
  useEffect(() => {
    const look = () => {
      if (page?.visibilityState !== "hidden") void shared.refresh();
    };
    const timer = setInterval(look, interval);
    page?.addEventListener("visibilitychange", look);
    return () => {
      clearInterval(timer);
      page?.removeEventListener("visibilitychange", look);
    };
  }, [shared, interval]);
  return createElement(Context.Provider, { value: shared }, children);
}

/** The client of the provider. */
export function useBulwark(): Client {
  return useShared().client;
}

/** The signed-in user. `refresh` reads the user and the permissions again at once. */
export function useWhoami(): Known<Whoami> & { refresh(): Promise<void> } {
  const { whoami, refresh } = useShared();
  const known = useKnown(whoami);
  return useMemo(() => ({ ...known, refresh }), [known, refresh]);
}

/**
 * Whether the account has a permission in an organization, or system-wide for null. Undefined while
 * that is unknown, and if the organization is.
 */
export function useCan(
  permission: Permission,
  organization: string | null | undefined,
): boolean | undefined {
  const { permissions } = useShared();
  return useKnown(organization === undefined ? null : permissions(organization))
    .data?.has(permission);
}

/** Properties of {@link Can}. */
export interface CanProps {
  do: Permission;
  in: string | null | undefined;
  /** Shown if the account does not have the permission. */
  otherwise?: ReactNode;
  children?: ReactNode;
}

/**
 * Shows its children to accounts that have a permission; nothing while that is unknown. It hides and
 * protects nothing: the database decides about each call.
 */
export function Can(
  { do: permission, in: organization, otherwise, children }: CanProps,
): ReactElement | null {
  const allowed = useCan(permission, organization);
  return allowed === undefined
    ? null
    : createElement(Fragment, null, allowed ? children : otherwise);
}

function useShared(): Shared {
  const shared = useContext(Context);
  if (!shared) throw new Error("Cannot find Bulwark: there is no <BulwarkProvider> above");
  return shared;
}

const unknown: Known<never> = { data: undefined, error: null };
const nothing = { known: () => unknown, subscribe: () => () => {} };

function useKnown<Value>(watch: Watch<Value> | null): Known<Value> {
  const { subscribe, known } = watch ?? nothing;
  // A server knows of nobody.
  return useSyncExternalStore<Known<Value>>(subscribe, known, nothing.known);
}

function share(client: Client, account: string | null | undefined, interval: number): Shared {
  const whoami = new Watch<Whoami>(async (version) => {
    const { data, error } = version === undefined
      ? await client.whoami()
      : await client.whoami(version);
    return error
      ? { data: null, error }
      : { data: { value: data, version: data?.version ?? version ?? "" }, error };
  }, interval);
  const byOrganization = new Map<string | null, Watch<ReadonlySet<Permission>>>();
  const permissions = (organization: string | null) => {
    const known = byOrganization.get(organization);
    if (known) return known;
    const made = new Watch<ReadonlySet<Permission>>(async (version) => {
      const { data, error } = await client.permissions(organization, version);
      if (error) return { data: null, error };
      const value = data.permissions && new Set(data.permissions);
      return { data: { value, version: data.version }, error };
    }, interval);
    byOrganization.set(organization, made);
    return made;
  };
  const refresh = async () => {
    const watches = [whoami, ...byOrganization.values()].filter(({ isWatched }) => isWatched);
    await Promise.all(watches.map((watch) => watch.ask()));
  };
  return account
    ? { client, whoami, permissions, refresh }
    : { client, whoami: null, permissions: () => null, refresh: async () => {} };
}
