/**
 * The client and the texts of the blocks. A block is a component that other applications add with the
 * shadcn command (scripts/building/blocks); the console uses the same files.
 */
import type { Client, Permission, Whoami } from "@bulwark/client";
import { type BulwarkQueries, bulwarkQueries } from "@bulwark/client/react-query";
import { useQuery } from "@tanstack/react-query";
import { createContext, Fragment, type ReactNode, useCallback, useContext, useMemo } from "react";

/** An organization of the person, with what they may do there. */
export type Organization = Whoami["organizations"][number];

/** Texts in other words or another language, by their English text. */
export type Labels = Readonly<Record<string, string>>;

const Queries = createContext<BulwarkQueries | null>(null);
const Texts = createContext<Labels>({});

/** Gives the blocks below it their client, and texts of your own. */
export function BulwarkBlocks({ client, labels, children }: {
  client: Client<true>;
  labels?: Labels;
  children: ReactNode;
}) {
  const queries = useMemo(() => bulwarkQueries(client), [client]);
  const above = useContext(Texts);
  return (
    <Queries.Provider value={queries}>
      <Texts.Provider value={labels ?? above}>{children}</Texts.Provider>
    </Queries.Provider>
  );
}

/** The calls of the client as options of TanStack Query. */
export function useBulwarkQueries(): BulwarkQueries {
  const queries = useContext(Queries);
  if (!queries) throw new Error("Cannot find Bulwark: there is no <BulwarkBlocks> above");
  return queries;
}

/** An organization of the person; undefined while unknown, and if it is none of theirs. */
export function useOrganization(id: string): Organization | undefined {
  const queries = useBulwarkQueries();
  return useQuery(queries.whoami()).data?.organizations.find((one) => one.id === id);
}

/** Shows its children to those who have a permission. It hides; the database decides. */
export function Can({ do: permission, in: organization, otherwise, children }: {
  do: Permission;
  /** Null: system-wide. */
  in: string | null;
  otherwise?: ReactNode;
  children: ReactNode;
}) {
  const queries = useBulwarkQueries();
  const { data: allowed } = useQuery(queries.can(permission, organization));
  return allowed === undefined ? null : <>{allowed ? children : otherwise}</>;
}

type Values = Readonly<Record<string, string | number>>;

/** Gives texts of the person's language, with values in the place of `{names}`. */
export function useText(): (english: string, values?: Values) => string {
  const labels = useContext(Texts);
  return useCallback(
    (english, values = {}) =>
      (labels[english] ?? english).replace(
        /\{(\w+)\}/g,
        (whole, name) => String(values[name] ?? whole),
      ),
    [labels],
  );
}

/** A text with elements in the place of `{names}`. */
export function Text({ of: english, ...elements }: { of: string; [name: string]: ReactNode }) {
  const t = useText();
  return t(english).split(/(\{\w+\})/).map((part, index) => (
    <Fragment key={index}>{elements[part.slice(1, -1)] ?? part}</Fragment>
  ));
}
