//! The closure of wanted packages over their dependencies: deterministic, without backtracking.
//!
//! Essential packages are not pulled in: an image gets what is named and what that depends on, nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use xedge_model::yaml;

use crate::relation::{Relation, Term};
use crate::{Error, PackageEntry, Universe, Version};

/// The wanted packages and all that they depend on (`Depends` and `Pre-Depends`), ordered by name.
///
/// Of alternatives, one that is already chosen is taken, else the first that has a candidate; of several packages that
/// provide a virtual one, the first by name. A name in `omit` counts as met.
pub fn resolve(universe: &Universe, wanted: &[String], omit: &[String]) -> Result<Vec<PackageEntry>, Error> {
    let mut search = Search::new(universe, omit)?;
    search.want(wanted)?;
    while let Some(entry) = search.queue.pop_front() {
        search.visit(entry)?;
    }
    search.check_omissions(omit)?;
    search.check_conflicts()?;
    Ok(search.chosen.values().map(|choice| choice.entry.clone()).collect())
}

/// Which packages provide a name, ordered by their own name.
type Providers<'a> = BTreeMap<String, Vec<(&'a PackageEntry, Option<Version>)>>;

struct Search<'a> {
    universe: &'a Universe,
    providers: Providers<'a>,
    omitted: BTreeSet<&'a str>,
    used_omissions: BTreeSet<&'a str>,
    chosen: BTreeMap<&'a str, Choice<'a>>,
    queue: VecDeque<&'a PackageEntry>,
}

struct Choice<'a> {
    entry: &'a PackageEntry,
    /// The package that needed it; `None` for a wanted one.
    needed_by: Option<&'a str>,
}

impl<'a> Search<'a> {
    fn new(universe: &'a Universe, omit: &'a [String]) -> Result<Self, Error> {
        Ok(Self {
            universe,
            providers: providers(universe)?,
            omitted: omit.iter().map(String::as_str).collect(),
            used_omissions: BTreeSet::new(),
            chosen: BTreeMap::new(),
            queue: VecDeque::new(),
        })
    }

    /// Chooses all wanted packages first, so that they win among alternatives.
    fn want(&mut self, wanted: &[String]) -> Result<(), Error> {
        for name in wanted.iter().collect::<BTreeSet<_>>() {
            if self.omitted.contains(name.as_str()) {
                return Err(Error::WantedAndOmitted { name: name.clone() });
            }
            let entry = self.universe.get(name).ok_or_else(|| self.unknown(name))?;
            self.choose(entry, None);
        }
        Ok(())
    }

    fn unknown(&self, name: &str) -> Error {
        let near = yaml::near(name, self.universe.iter().map(|entry| entry.name.as_str()));
        Error::UnknownPackage {
            name: name.to_owned(),
            architecture: self.universe.architecture().to_owned(),
            near: near.map(str::to_owned),
        }
    }

    fn choose(&mut self, entry: &'a PackageEntry, needed_by: Option<&'a str>) {
        self.chosen.insert(&entry.name, Choice { entry, needed_by });
        self.queue.push_back(entry);
    }

    fn visit(&mut self, entry: &'a PackageEntry) -> Result<(), Error> {
        for relation in entry.depends(self.universe.architecture())? {
            let omitted = self.note_omissions(&relation);
            let chosen = relation.alternatives.iter().any(|term| self.is_chosen(term));
            if omitted || chosen {
                continue;
            }
            let candidate = relation.alternatives.iter().find_map(|term| self.candidate(term));
            let candidate = candidate.ok_or_else(|| self.unmet(&relation, entry))?;
            self.choose(candidate, Some(&entry.name));
        }
        Ok(())
    }

    /// Whether an omission meets the relation; each omission it touches is not stale.
    fn note_omissions(&mut self, relation: &Relation) -> bool {
        let touched: Vec<&'a str> =
            relation.alternatives.iter().flat_map(|term| self.omissions_of(term)).collect();
        let met = !touched.is_empty();
        self.used_omissions.extend(touched);
        met
    }

    /// The omitted names that stand for a term: the name itself, or packages that provide it where it is virtual.
    fn omissions_of(&self, term: &Term) -> Vec<&'a str> {
        let is_virtual = self.universe.get(&term.name).is_none();
        let providers = self.providers.get(&term.name).filter(|_| is_virtual).into_iter().flatten();
        let names = providers.map(|(entry, _)| entry.name.as_str()).chain([term.name.as_str()]);
        names.filter_map(|name| self.omitted.get(name)).copied().collect()
    }

    fn is_chosen(&self, term: &Term) -> bool {
        let real = self.chosen.get(term.name.as_str());
        real.is_some_and(|choice| self.meets(term, choice.entry))
            || self.providing(term).any(|entry| self.chosen.contains_key(entry.name.as_str()))
    }

    fn candidate(&self, term: &Term) -> Option<&'a PackageEntry> {
        let real = self.universe.get(&term.name).filter(|entry| self.meets(term, entry));
        real.or_else(|| self.providing(term).next())
    }

    fn meets(&self, term: &Term, entry: &PackageEntry) -> bool {
        term.admits_architecture(self.universe.architecture()) && term.admits(&entry.version)
    }

    fn providing(&self, term: &Term) -> impl Iterator<Item = &'a PackageEntry> {
        let admitted = term.admits_architecture(self.universe.architecture());
        let known = self.providers.get(&term.name).filter(|_| admitted);
        let fits = |(_, version): &&(_, Option<Version>)| term.admits_provided(version.as_ref());
        known.into_iter().flatten().filter(fits).map(|(entry, _)| *entry)
    }

    fn unmet(&self, relation: &Relation, entry: &PackageEntry) -> Error {
        let mut chain = vec![format!("`{}`", entry.name)];
        let mut at = self.chosen.get(entry.name.as_str()).and_then(|choice| choice.needed_by);
        while let Some(name) = at {
            chain.push(format!("`{name}`"));
            at = self.chosen.get(name).and_then(|choice| choice.needed_by);
        }
        let architecture = self.universe.architecture().to_owned();
        Error::Unmet { relation: relation.to_string(), chain: chain.join(", needed by "), architecture }
    }

    fn check_omissions(&self, omit: &[String]) -> Result<(), Error> {
        match omit.iter().find(|name| !self.used_omissions.contains(name.as_str())) {
            Some(name) => Err(Error::StaleOmission { name: name.clone() }),
            None => Ok(()),
        }
    }

    fn check_conflicts(&self) -> Result<(), Error> {
        for Choice { entry, .. } in self.chosen.values() {
            for relation in entry.refuses(self.universe.architecture())? {
                if let Some(other) = relation.alternatives.iter().find_map(|term| self.refused(entry, term)) {
                    return Err(Error::Conflict {
                        package: entry.name.clone(),
                        other: other.name.clone(),
                        relation: relation.to_string(),
                    });
                }
            }
        }
        Ok(())
    }

    /// A chosen package that the term hits. A package never refuses itself (policy §7.4).
    fn refused(&self, entry: &PackageEntry, term: &Term) -> Option<&'a PackageEntry> {
        let real = self.chosen.get(term.name.as_str()).map(|c| c.entry).filter(|e| self.meets(term, e));
        let providing = self.providing(term).filter(|e| self.chosen.contains_key(e.name.as_str()));
        real.into_iter().chain(providing).find(|other| other.name != entry.name)
    }
}

fn providers(universe: &Universe) -> Result<Providers<'_>, Error> {
    let mut providers = Providers::new();
    for entry in universe.iter() {
        for relation in entry.provides(universe.architecture())? {
            for term in relation.alternatives {
                let version = term.exact_version().cloned();
                providers.entry(term.name).or_default().push((entry, version));
            }
        }
    }
    Ok(providers)
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
