import { useMutation, useQuery } from "@tanstack/react-query";
import { useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Ago, Badge, Line, Problem, Section, Skeleton } from "../ui/parts.tsx";
import { browserName } from "./browser_name.ts";

/** Where the account of the person is signed in; other sessions can be ended. */
export function Sessions() {
  const queries = useBulwarkQueries();
  const t = useText();
  const { data: sessions, error } = useQuery(queries.sessions.list());
  const end = useMutation(queries.sessions.end());
  return (
    <Section title={t("Sessions")} about={t("Where your account is signed in.")}>
      {error || end.error
        ? (
          <div className="px-4 pb-3">
            <Problem error={error ?? end.error} />
          </div>
        )
        : !sessions && <Skeleton />}
      <ul>
        {sessions?.map((
          { id, user_agent, ip, refreshed_at, created_at, is_current, mfa_verified_at },
        ) => (
          <Line key={id}>
            <span className="min-w-32 flex-1 truncate">
              <span className="font-medium">{browserName(user_agent, t)}</span>{" "}
              {ip && <span className="font-mono text-xs text-quiet">{ip}</span>}
            </span>
            {mfa_verified_at && <Badge tone="good">{t("second factor")}</Badge>}
            <span className="text-quiet">
              <Ago time={refreshed_at ?? created_at} />
            </span>
            {is_current ? <Badge>{t("this one")}</Badge> : (
              <button
                type="button"
                className="button"
                disabled={end.isPending}
                onClick={() => end.mutate([id])}
              >
                {t("End")}
              </button>
            )}
          </Line>
        ))}
      </ul>
    </Section>
  );
}
