import { Dialog } from "@base-ui/react/dialog";
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useRouter } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { queries } from "./connection.ts";
import { entrance } from "./entrance.ts";
import { start } from "./organization.tsx";
import { AcceptInvitation } from "./organizations/accept_invitation.tsx";
import {
  Badge,
  Empty,
  Field,
  Heading,
  Line,
  Problem,
  Section,
  Skeleton,
  useTitle,
} from "./ui/parts.tsx";

/** Organizations and invitations of the person. */
export function Home() {
  useTitle("Organizations");
  const { data: me } = useQuery(queries.whoami());
  const router = useRouter();
  const enter = async () => router.history.push(await entrance());
  return (
    <>
      <Heading action={<CreateOrganization />}>Organizations</Heading>
      <AcceptInvitation onAccepted={() => void enter()} />
      <Section title="Your organizations">
        {!me ? <Skeleton /> : me.organizations.length === 0
          ? (
            <div className="border-t border-line">
              <Empty title="You are not in an organization yet">
                Create one, or ask a colleague to invite {me.user.email}.
                {me.permissions.length > 0 &&
                  " Your system-wide permissions count in each organization that you join."}
              </Empty>
            </div>
          )
          : (
            <ul>
              {me.organizations.map((one) => (
                <Line key={one.id}>
                  <Link
                    to={start}
                    params={{ slug: one.slug }}
                    className="link font-medium"
                  >
                    {one.name}
                  </Link>
                  <span className="font-mono text-xs text-quiet">{one.slug}</span>
                  <span className="ml-auto flex items-center gap-1.5">
                    {one.mfa_required && !one.mfa_met && (
                      <Badge tone="warn">needs a second factor</Badge>
                    )}
                    {one.roles.map((role) => <Badge key={role}>{role}</Badge>)}
                  </span>
                </Line>
              ))}
            </ul>
          )}
      </Section>
      {me && !me.mfa.enrolled && (
        <Section
          title="Protect your account"
          about="With a second factor a stolen password is not enough."
          action={<Link to="/account" className="button primary">Add a second factor</Link>}
        />
      )}
    </>
  );
}

function CreateOrganization() {
  const [open, setOpen] = useState(false);
  const [slug, setSlug] = useState("");
  const create = useMutation({
    ...queries.organizations.create(),
    onSuccess: () => setOpen(false),
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const name = String(new FormData(event.currentTarget).get("name")).trim();
    create.mutate([{ name, slug }]);
  };
  return (
    <Dialog.Root
      open={open}
      onOpenChange={(next) => {
        setOpen(next);
        create.reset();
        setSlug("");
      }}
    >
      <Dialog.Trigger className="button">Create organization</Dialog.Trigger>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="dialog">
          <Dialog.Title className="text-lg font-semibold">Create organization</Dialog.Title>
          <form onSubmit={submit} className="grid gap-4">
            <Field
              label="Name"
              name="name"
              required
              maxLength={100}
              onChange={({ target }) => setSlug(slugOf(target.value))}
            />
            <Field
              label="Slug"
              name="slug"
              required
              value={slug}
              onChange={({ target }) => setSlug(target.value)}
              hint="In addresses: small letters, digits and hyphens"
            />
            <Problem error={create.error} />
            <div className="flex justify-end gap-2">
              <Dialog.Close className="button">Cancel</Dialog.Close>
              <button type="submit" className="button primary" disabled={create.isPending}>
                Create
              </button>
            </div>
          </form>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function slugOf(name: string): string {
  return name.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "").slice(0, 40);
}
