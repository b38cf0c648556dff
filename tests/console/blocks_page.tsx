/** An application with all blocks. tests/console/blocks.test.ts adds them to it and builds it. */
import { MfaChallenge } from "@/components/bulwark/access/challenge";
import { BackupCodes, RenewBackupCodes } from "@/components/bulwark/account/backup_codes";
import { Devices } from "@/components/bulwark/account/devices";
import { Factors } from "@/components/bulwark/account/factors";
import { type Filter } from "@/components/bulwark/audit/filter";
import { AuditLog } from "@/components/bulwark/audit/log";
import { BulwarkBlocks, Can, useBulwarkQueries } from "@/components/bulwark/blocks/provider";
import { ApiKeys } from "@/components/bulwark/keys/api_keys";
import { Invitations } from "@/components/bulwark/members/invitations";
import { Invite } from "@/components/bulwark/members/invite";
import { Leave } from "@/components/bulwark/members/leave";
import { RoleMatrix } from "@/components/bulwark/members/matrix";
import { MembersCard } from "@/components/bulwark/members/members_card";
import { NewRole } from "@/components/bulwark/members/role_dialog";
import { type MemberSearch } from "@/components/bulwark/members/search";
import { AcceptInvitation } from "@/components/bulwark/organizations/accept_invitation";
import { OrganizationSwitcher } from "@/components/bulwark/organizations/switcher";
import { stepUp } from "@/components/bulwark/step_up";
import { StepUpDialog } from "@/components/bulwark/step_up_dialog";
import { WebhooksCard } from "@/components/bulwark/webhooks/webhooks_card";
import { createBulwark } from "@bulwark/client";
import { createClient } from "@supabase/supabase-js";
import { QueryClient, QueryClientProvider, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { createRoot } from "react-dom/client";
import "./index.css";

const { url, publishableKey } = await (await fetch("/config.json")).json();
const supabase = createClient(url, publishableKey, { auth: { storageKey: "host" } });
const bulwark = createBulwark(supabase, {
  throwOnError: true,
  onVerificationRequired: stepUp.ask,
});

/** Shows which texts can be replaced: each stands in brackets. */
const bracketed = new Proxy<Record<string, string>>({}, {
  get: (_, english) => `[${String(english)}]`,
});

function Page() {
  const queries = useBulwarkQueries();
  const { data: me } = useQuery(queries.whoami());
  const [current, setCurrent] = useState<string>();
  const [codes, setCodes] = useState<readonly string[] | null>(null);
  const [filter, setFilter] = useState<Filter>({});
  const [shown, setShown] = useState<MemberSearch>({});
  // First the one that the person administers.
  const organization = me?.organizations.find(({ id }) => id === current) ??
    me?.organizations.find(({ roles }) => roles.includes("admin")) ?? me?.organizations[0];
  if (!organization) return null;
  return (
    <main className="mx-auto grid max-w-5xl grid-cols-[minmax(0,1fr)] gap-4 p-4">
      <h1 className="text-xl font-semibold">blocks</h1>
      <OrganizationSwitcher
        current={organization.id}
        onSwitch={({ id }) => setCurrent(id)}
      />
      <AcceptInvitation />
      <Can do="user:create" in={organization.id} otherwise={<p data-can="no" />}>
        <p data-can="yes" className="flex gap-2">
          <Invite organization={organization} />
          <NewRole organization={organization} />
          <Leave organization={organization} onLeft={() => setCurrent(undefined)} />
        </p>
      </Can>
      <MembersCard organization={organization} shown={shown} onShow={setShown} />
      <Invitations organization={organization} />
      <RoleMatrix organization={organization} />
      <ApiKeys organization={organization} />
      <WebhooksCard organization={organization} />
      <AuditLog organization={organization.id} filter={filter} onFilter={setFilter} />
      <Factors onCodes={setCodes} />
      {codes && <BackupCodes codes={codes} onKept={() => setCodes(null)} />}
      <RenewBackupCodes onCodes={setCodes} />
      <Devices />
      <section className="grid gap-4" data-challenge>
        <MfaChallenge onVerified={() => {}} />
      </section>
      <StepUpDialog />
    </main>
  );
}

createRoot(document.getElementById("root")!).render(
  <QueryClientProvider client={new QueryClient()}>
    <BulwarkBlocks
      client={bulwark}
      labels={location.search === "?bracketed" ? bracketed : {}}
    >
      <Page />
    </BulwarkBlocks>
  </QueryClientProvider>,
);
