insert into "auth"."users" ("id", "email") values
  ('1a000000-0000-4000-8000-000000000001', 'ana@north.example'),
  ('1a000000-0000-4000-8000-000000000002', 'ben@north.example'),
  ('1a000000-0000-4000-8000-000000000003', 'cy@south.example'),
  ('1a000000-0000-4000-8000-000000000004', 'gil@north.example');

insert into "public"."teams" ("name") values ('North'), ('South');
insert into "public"."team_members" ("teamId", "userId", "role") values
  (1, '1a000000-0000-4000-8000-000000000001', 'owner'),
  (1, '1a000000-0000-4000-8000-000000000002', 'member'),
  (2, '1a000000-0000-4000-8000-000000000003', 'owner'),
  (1, '1a000000-0000-4000-8000-000000000004', 'guest');

insert into "public"."tickets" ("teamId", "subject", "customerEmail", "state") values
  (1, 'The lamp is broken', 'kim@home.example', 'open'),
  (1, 'Where is my order?', 'lou@home.example', 'closed'),
  (2, 'Refund', 'max@home.example', 'waiting');
insert into "public"."messages" ("teamId", "ticketId", "body", "sentAt") values
  (1, 1, 'It does not light up.', '2025-05-01 10:00:00+00'),
  (1, 1, 'Please send a picture.', '2026-01-02 10:00:00+00'),
  (2, 3, 'I want my money back.', '2025-06-01 10:00:00+00');

insert into "public"."reports" ("teamId", "week", "figures") values
  (1, '2026-01-05', '{"opened": 2, "closed": 1}'),
  (2, '2026-01-05', '{"opened": 1, "closed": 0}');
