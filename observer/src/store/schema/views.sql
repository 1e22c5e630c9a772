-- The surface that questions use. Made anew whenever a run begins, after the views of earlier versions are dropped.
-- Times are text, RFC 3339 with nanoseconds, which sorts as time does.

CREATE VIEW runs AS SELECT
    id, status, tool_version, schema,
    strftime('%Y-%m-%dT%H:%M:%S', started / 1000000000, 'unixepoch') || 'Z' AS started,
    strftime('%Y-%m-%dT%H:%M:%S', finished / 1000000000, 'unixepoch') || 'Z' AS finished,
    frames, flows, dropped_kernel, dropped_ring, dropped_limit, unattributed_flows, unattributed_bytes, malformed, skipped, limits, duplicates,
    inconclusive, notes, clock_offset_ns, clock_error_ns, judged_by, baseline
FROM runs_v1;

CREATE VIEW captures AS SELECT
    run, path, format, link_types, frames,
    strftime('%Y-%m-%dT%H:%M:%S', first / 1000000000, 'unixepoch') || printf('.%09dZ', first % 1000000000) AS first,
    strftime('%Y-%m-%dT%H:%M:%S', last / 1000000000, 'unixepoch') || printf('.%09dZ', last % 1000000000) AS last,
    truncated, dropped, damages, damage
FROM captures_v1;

CREATE VIEW owners AS SELECT
    id, name, uid, user, package, packages, label, pid, process, method, confidence
FROM owners_v1;

-- `app` is the name that people know the owner by; NULL is unattributed.
CREATE VIEW flows AS SELECT
    flow.id, flow.run, flow.number, flow.frames_first, flow.frames_last,
    strftime('%Y-%m-%dT%H:%M:%S', event_start / 1000000000, 'unixepoch') || printf('.%09dZ', event_start % 1000000000) AS event_start,
    strftime('%Y-%m-%dT%H:%M:%S', event_end / 1000000000, 'unixepoch') || printf('.%09dZ', event_end % 1000000000) AS event_end,
    (event_end - event_start) / 1e9 AS seconds,
    owner.name AS app,
    network_transport, network_type, network_community_id, network_protocol, network_layers, network_protection,
    network_tunnel, source_ip, source_port, source_packets, source_bytes,
    destination_ip, destination_port, destination_packets, destination_bytes,
    destination_domain, destination_domain_basis,
    coalesce(destination_domain, destination_ip) AS host,
    tcp_state, tcp_gaps, tcp_retransmissions,
    flow.owner, owner.uid AS owner_uid, owner.package AS owner_package, owner.label AS owner_label,
    owner.pid AS owner_pid, owner.process AS owner_process, owner.method AS owner_method,
    owner.confidence AS owner_confidence,
    step.name AS step, change.began AS step_began, step.id AS step_id,
    (
        SELECT count(*) FROM steps_v1 AS later
        WHERE later.run = flow.run AND later.start > flow.event_start AND later.start <= flow.event_end
            AND (later."end" IS NULL OR later."end" > later.start)
    ) AS step_spans
FROM flows_v1 AS flow
    LEFT JOIN owners_v1 AS owner ON owner.id = flow.owner
    LEFT JOIN step_changes_v1 AS change ON change.run = flow.run AND change.at = (
        SELECT max(at) FROM step_changes_v1 AS earlier WHERE earlier.run = flow.run AND earlier.at <= flow.event_start
    )
    LEFT JOIN steps_v1 AS step ON step.id = change.step;

-- Tests, and what labels stand for, in order of time. `start` to `end`; an `end` of NULL is that of the capture.
CREATE VIEW steps AS SELECT
    id, run, number, name, kind, origin,
    strftime('%Y-%m-%dT%H:%M:%S', start / 1000000000, 'unixepoch') || printf('.%09dZ', start % 1000000000) AS start,
    strftime('%Y-%m-%dT%H:%M:%S', "end" / 1000000000, 'unixepoch') || printf('.%09dZ', "end" % 1000000000) AS "end",
    ("end" - start) / 1e9 AS seconds, result, basis
FROM steps_v1;

-- The steps in which flows began that a finding names: one row for each finding and step; NULL is background.
CREATE VIEW finding_steps AS SELECT DISTINCT place.finding, flow.run, flow.step_id AS step, flow.step AS name
FROM finding_frames_v1 AS place JOIN flows AS flow ON flow.id = place.flow
WHERE EXISTS (SELECT 1 FROM steps_v1 WHERE steps_v1.run = flow.run);

CREATE VIEW findings AS SELECT
    finding.id, finding.run, rule, severity, finding.confidence, owner.name AS app, blame, finding.host, ip, port, message,
    (SELECT frame FROM finding_frames_v1 AS place WHERE place.finding = finding.id AND position = 0) AS frame,
    (SELECT count(*) FROM finding_frames_v1 AS place WHERE place.finding = finding.id) AS places,
    requirements, evidence, fingerprint, finding.owner,
    flow.step, flow.step_began,
    (SELECT standing FROM finding_baselines_v1 AS held WHERE held.finding = finding.id) AS baseline
FROM findings_v1 AS finding
    LEFT JOIN owners_v1 AS owner ON owner.id = finding.owner
    LEFT JOIN finding_frames_v1 AS first ON first.finding = finding.id AND first.position = 0
    LEFT JOIN flows AS flow ON flow.id = first.flow
WHERE suppressed IS NULL;

-- Findings that an exception excuses, with its reason.
CREATE VIEW suppressed_findings AS SELECT
    finding.id, finding.run, rule, severity, finding.confidence, owner.name AS app, host, ip, port, message,
    suppressed AS reason, fingerprint, finding.owner
FROM findings_v1 AS finding LEFT JOIN owners_v1 AS owner ON owner.id = finding.owner
WHERE suppressed IS NOT NULL;

-- Findings of runs that go on or were killed, in the order in which they came; the end of a run replaces them. Whom they
-- are held against is not settled yet, and what compares flows with one another is missing.
CREATE VIEW provisional_findings AS SELECT
    finding.id, finding.run, rule, severity, finding.confidence, owner.name AS app, host, ip, port, message,
    json_extract(frames, '$[0]') AS frame, requirements, evidence, fingerprint, flow, frames, finding.owner
FROM provisional_findings_v1 AS finding LEFT JOIN owners_v1 AS owner ON owner.id = finding.owner;

CREATE VIEW finding_frames AS SELECT finding, position, flow, frame FROM finding_frames_v1;

CREATE VIEW verdicts AS SELECT
    run, owner.name AS app, requirement, verdict, findings, exercised_endpoints, exercised_flows, exercised_bytes,
    reason, verdict.owner
FROM verdicts_v1 AS verdict LEFT JOIN owners_v1 AS owner ON owner.id = verdict.owner;

CREATE VIEW markers AS SELECT
    run,
    strftime('%Y-%m-%dT%H:%M:%S', at / 1000000000, 'unixepoch') || printf('.%09dZ', at % 1000000000) AS at,
    label, coalesce(kind, 'point') AS kind, coalesce(origin, 'mark') AS origin, result
FROM markers_v1;

CREATE VIEW packages AS SELECT
    run, uid, nullif(package, '') AS package, nullif(label, '') AS label
FROM packages_v1;

CREATE VIEW listeners AS SELECT
    listeners_v1.run, transport, ip, port, owner, name AS owner_name, uid AS owner_uid, process AS owner_process
FROM listeners_v1 LEFT JOIN owners_v1 ON owners_v1.id = listeners_v1.owner;

CREATE VIEW owner_observations AS SELECT flow, position, method, uid, pid, process, label FROM owner_observations_v1;

-- Where proxies were asked to lead.
CREATE VIEW proxies AS SELECT
    proxy.flow, flow.run, flow.app, proxy.protocol, proxy.host, proxy.port, proxy.granted,
    flow.destination_ip, flow.destination_port
FROM proxies_v1 AS proxy JOIN flows AS flow ON flow.id = proxy.flow;

-- Steps towards TLS within protocols that begin without it, in order.
CREATE VIEW upgrades AS SELECT
    upgrade.flow, flow.run, flow.app, flow.host, upgrade.frame, upgrade.protocol, upgrade.step,
    upgrade.basis
FROM upgrades_v1 AS upgrade JOIN flows AS flow ON flow.id = upgrade.flow;

-- Credentials in the clear that are not HTTP's.
CREATE VIEW logins AS SELECT
    login.flow, flow.run, flow.app, flow.host, login.frame, login.protocol, login.mechanism, login.exposure,
    login.basis
FROM logins_v1 AS login JOIN flows AS flow ON flow.id = login.flow;

-- Single values that protocols show.
CREATE VIEW properties AS SELECT
    property.flow, flow.run, flow.app, flow.host, property.frame, property.protocol, property.name, property.value,
    property.basis
FROM properties_v1 AS property JOIN flows AS flow ON flow.id = property.flow;

-- What the bytes look like that no protocol claims. `evidence_bits` is against chance; entropy decides nothing.
CREATE VIEW unrecognised AS SELECT
    sample.flow, flow.run, flow.app, flow.host, sample.frame, sample.likeness, sample.kind, sample.evidence_items,
    sample.evidence_bits, sample.sampled, sample.printable, sample.entropy
FROM unrecognised_v1 AS sample JOIN flows AS flow ON flow.id = sample.flow;
