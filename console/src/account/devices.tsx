import { useQuery } from "@tanstack/react-query";
import { useBulwarkQueries } from "../blocks/provider.tsx";
import { Sessions } from "./sessions.tsx";
import { TrustedBrowsers } from "./trusted_browsers.tsx";

/** The browsers that the person trusts, and where the account is signed in. */
export function Devices() {
  const queries = useBulwarkQueries();
  const { data: status } = useQuery(queries.mfa.status());
  return (
    <>
      {status?.enrolled && <TrustedBrowsers />}
      <Sessions />
    </>
  );
}
