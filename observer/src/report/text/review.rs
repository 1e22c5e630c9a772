//! What differs between two runs, for people: the outcome first, then app by app, the gravest first.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::say;
use super::words::{bold, dim, wrapped};
use crate::assess::review::{Change, Review, Sign};
use crate::report::outcome::Outcome;
use crate::report::plain::plain;
use crate::report::review::{SHOWN, headline, left_out, name, sentence, side, sign, told};
use crate::report::wording::count;

/// Writes what differs.
///
/// # Errors
/// Those of `out`.
pub fn render_review(review: &Review, out: &mut dyn Write) -> io::Result<()> {
    let colour = |colour: AnsiColor| Style::new().bold().fg_color(Some(colour.into()));
    let style = colour(match review.outcome() {
        Outcome::Findings(_) => AnsiColor::Red,
        Outcome::Inconclusive(_) => AnsiColor::Yellow,
        Outcome::Clean => AnsiColor::Green,
    });
    let (word, rest) = headline(review);
    say(style, word, &rest, out)?;
    writeln!(out, "before  {}", plain(&side(&review.before)))?;
    writeln!(out, "after   {}", plain(&side(&review.after)))?;
    writeln!(out, "both    {}", count(review.common_endpoints, "far end"))?;
    for doubt in &review.doubts {
        paragraph("Inconclusive: ", doubt, out)?;
    }
    for note in review.notes.iter().cloned().chain(left_out(review)) {
        paragraph("Note: ", &note, out)?;
    }
    for app in &review.apps {
        let flows = format!("  {} → {} flows", app.flows_before, app.flows_after);
        writeln!(out, "\n{}{}", bold(&plain(name(app))), dim(&flows))?;
        let (told, others) = told(app);
        for change in told.iter().take(SHOWN) {
            one(change, out)?;
        }
        let more = u64::try_from(told.len().saturating_sub(SHOWN)).unwrap_or(u64::MAX);
        if more > 0 {
            writeln!(
                out,
                "  {}",
                dim(&format!("and {}, all with --format json", count(more, "more change")))
            )?;
        }
        if let Some(others) = others {
            writeln!(out, "  ~        {}", dim(&others))?;
        }
    }
    Ok(())
}

fn one(change: &Change, out: &mut dyn Write) -> io::Result<()> {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    let style = match (change.worse, change.sign) {
        (true, _) => colour(AnsiColor::Red).bold(),
        (false, Sign::Added) => colour(AnsiColor::Blue),
        (false, _) => Style::new().dimmed(),
    };
    let mark = format!("{} {:6}", sign(change), if change.worse { "WORSE" } else { "" });
    for (place, line) in wrapped(&plain(&sentence(change)), 68).iter().enumerate() {
        match place {
            0 => writeln!(out, "  {style}{mark}{style:#} {line}")?,
            _ => writeln!(out, "             {line}")?,
        }
    }
    Ok(())
}

fn paragraph(word: &str, text: &str, out: &mut dyn Write) -> io::Result<()> {
    for (place, line) in wrapped(&plain(text), 66).iter().enumerate() {
        writeln!(out, "{:14}{line}", if place == 0 { word } else { "" })?;
    }
    Ok(())
}
