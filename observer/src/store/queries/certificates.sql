-- Server certificates by expiry, with hosts that showed them.
SELECT
    certificate.not_after, certificate.subject, certificate.issuer,
    certificate.public_key_algorithm || coalesce(' ' || certificate.public_key_bits, '') AS key,
    certificate.signature_algorithm AS signature,
    group_concat(DISTINCT flow.host) AS hosts,
    count(*) AS flows
FROM flow_certificates AS shown
JOIN certificates AS certificate ON certificate.id = shown.certificate
JOIN flows AS flow ON flow.id = shown.flow
WHERE flow.run = coalesce(:run, (SELECT max(id) FROM runs)) AND shown.role = 'server' AND shown.position = 0
GROUP BY certificate.id
ORDER BY certificate.not_after, certificate.subject;
