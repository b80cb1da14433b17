//! The command line of xedge: it joins the stages.
