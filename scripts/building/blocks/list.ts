/** A component that other applications add. */
export interface Block {
  name: string;
  title: string;
  description: string;
  /** The file with the component, below console/src. */
  file: string;
  /** The names that a host imports. */
  exports: string;
  /** How it is used, printed after it was added. */
  use: string;
}

/** All blocks. Each must be within `<BulwarkBlocks>`. */
export const blocks: readonly Block[] = [
  {
    name: "can",
    title: "Can",
    description: "Shows its children to those who have a permission; the provider of all blocks",
    file: "blocks/provider.tsx",
    exports: "BulwarkBlocks, Can",
    use: '<Can do="user:create" in={organization.id}>…</Can>',
  },
  {
    name: "step-up-dialog",
    title: "Step-up dialog",
    description: "Asks for a fresh second factor when a call needs one, and lets it be repeated",
    file: "step_up_dialog.tsx",
    exports: "StepUpDialog",
    use: "<StepUpDialog /> once, and createBulwark(supabase, { throwOnError: true, " +
      "onVerificationRequired: stepUp.ask }) with stepUp from bulwark/step_up",
  },
  {
    name: "mfa-enrol",
    title: "Second factors",
    description: "The second factors of the person: added by QR code, and removed",
    file: "account/factors.tsx",
    exports: "Factors",
    use: "<Factors onCodes={setCodes} />; show the codes in <BackupCodes /> of backup-codes",
  },
  {
    name: "mfa-challenge",
    title: "Second factor challenge",
    description: "Asks for a code or a backup code after the password",
    file: "access/challenge.tsx",
    exports: "MfaChallenge",
    use: "<MfaChallenge onVerified={enter} />",
  },
  {
    name: "backup-codes",
    title: "Backup codes",
    description: "New backup codes, shown once, to download or copy",
    file: "account/backup_codes.tsx",
    exports: "BackupCodes, RenewBackupCodes",
    use: "{codes && <BackupCodes codes={codes} onKept={() => setCodes(null)} />}\n" +
      "<RenewBackupCodes onCodes={setCodes} />",
  },
  {
    name: "devices",
    title: "Devices",
    description: "Trusted browsers, and the sessions of the account",
    file: "account/devices.tsx",
    exports: "Devices",
    use: "<Devices />",
  },
  {
    name: "organization-switcher",
    title: "Organization switcher",
    description: "A menu of the person's organizations",
    file: "organizations/switcher.tsx",
    exports: "OrganizationSwitcher",
    use: "<OrganizationSwitcher current={organization.id} onSwitch={open} />",
  },
  {
    name: "accept-invitation",
    title: "Accept an invitation",
    description: "The invitations of the person, to accept or to decline",
    file: "organizations/accept_invitation.tsx",
    exports: "AcceptInvitation",
    use: "<AcceptInvitation />",
  },
  {
    name: "members-card",
    title: "Members",
    description: "The people of an organization: searched, given roles for a time, removed",
    file: "members/members_card.tsx",
    exports: "MembersCard",
    use: "<MembersCard organization={organization} shown={shown} onShow={setShown} />\n" +
      "with useState<MemberSearch>({}) of bulwark/members/search",
  },
  {
    name: "invite-dialog",
    title: "Invite",
    description: "Invites an address into a role that one may give",
    file: "members/invite.tsx",
    exports: "Invite",
    use: "<Invite organization={organization} />",
  },
  {
    name: "invitations",
    title: "Invitations",
    description: "The invitations of an organization and what became of them",
    file: "members/invitations.tsx",
    exports: "Invitations",
    use: "<Invitations organization={organization} />",
  },
  {
    name: "leave-dialog",
    title: "Leave",
    description: "Ends the membership of the person, after a question",
    file: "members/leave.tsx",
    exports: "Leave",
    use: "<Leave organization={organization} onLeft={goHome} />",
  },
  {
    name: "role-matrix",
    title: "Role matrix",
    description: "The permissions of each role, its own and the inherited ones",
    file: "members/matrix.tsx",
    exports: "RoleMatrix",
    use: "<RoleMatrix organization={organization} />",
  },
  {
    name: "new-role-dialog",
    title: "New role",
    description: "Makes a role from permissions and other roles, of those that the person holds",
    file: "members/role_dialog.tsx",
    exports: "NewRole",
    use: "<NewRole organization={organization} />",
  },
  {
    name: "api-keys-card",
    title: "API keys",
    description: "API keys: made and shown once, rotated with an overlap, revoked with a reason",
    file: "keys/api_keys.tsx",
    exports: "ApiKeys",
    use: "<ApiKeys organization={organization} />",
  },
  {
    name: "webhooks-card",
    title: "Webhooks",
    description: "The endpoints of an organization, how deliveries to each go, and a new one",
    file: "webhooks/webhooks_card.tsx",
    exports: "WebhooksCard",
    use: "<WebhooksCard organization={organization} />",
  },
  {
    name: "audit-log-table",
    title: "Audit log",
    description: "The audit log of an organization: filtered, of any length, an entry in a drawer",
    file: "audit/log.tsx",
    exports: "AuditLog",
    use: "<AuditLog organization={organization.id} filter={filter} onFilter={setFilter} />\n" +
      "with useState<Filter>({}); readFilter of bulwark/audit/filter reads one from an address",
  },
];
